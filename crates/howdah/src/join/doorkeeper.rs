//! Redeems tokens for the API: the one place that knows both the files and the cluster.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use howdah_api::Refusal;
use howdah_api::join::{Denied, Doorkeeper, JoinRequest, Welcome};
use howdah_base::NodeName;
use howdah_base::status::ClusterStatus;
use howdah_spec::backup::BackupSpec;
use howdah_spec::{ClusterSpec, NodeKind, NodeSpec, SecretRef, StoreSpec, to_toml};
use howdah_tls::Authority;
use tokio::sync::watch;

use super::kept::{self, Kept, Over, now_unix};
use crate::prepare::lock::Lock;
use crate::prepare::{Layout, secret};

/// What the running agent knows, once it runs.
#[derive(Clone, Debug)]
pub struct Known {
    pub spec: watch::Receiver<Arc<ClusterSpec>>,
    pub status: watch::Receiver<Option<Arc<ClusterStatus>>>,
}

/// The doorkeeper of one node.
#[derive(Debug)]
pub struct Keeper {
    layout: Layout,
    /// The file that this node was started with.
    started_with: Arc<ClusterSpec>,
    known: OnceLock<Known>,
}

impl Keeper {
    pub fn new(layout: Layout, started_with: Arc<ClusterSpec>) -> Keeper {
        Keeper { layout, started_with, known: OnceLock::new() }
    }

    /// From now on the file in force and the nodes alive are known.
    pub fn learn(&self, known: Known) {
        // There is one agent, and it says so once.
        let _ = self.known.set(known);
    }

    fn spec(&self) -> Arc<ClusterSpec> {
        self.known.get().map_or_else(|| self.started_with.clone(), |k| k.spec.borrow().clone())
    }

    fn is_alive(&self, node: &NodeName) -> bool {
        let status = self.known.get().and_then(|known| known.status.borrow().clone());
        status.is_some_and(|s| s.nodes.iter().any(|line| line.node == *node && line.alive))
    }

    fn redeem(&self, request: &JoinRequest, file: &Path) -> Result<Welcome, Denied> {
        let mut token = kept::read(file).map_err(broken)?.ok_or_else(unknown)?;
        let now = now_unix();
        let key = match token.open(&request.id, &request.secret, now) {
            Ok(key) => key,
            Err(over) => {
                if over == Over::Wrong {
                    token.count_wrong();
                    kept::write(file, &token).map_err(broken)?;
                }
                return Err(refused(over, &token));
            }
        };
        if token.node != request.node {
            return Err(Denied::Token(
                Refusal::new(format!("the token is for another node: `{}`", token.node))
                    .hint(format!("howdah token create {}", request.node)),
            ));
        }
        let spec = self.spec();
        let node = spec.nodes.get(&request.node).ok_or_else(|| not_in_file(&request.node))?;
        if self.is_alive(&request.node) {
            return Err(alive(&request.node));
        }
        let authority = std::fs::read_to_string(self.layout.ca()).map_err(broken)?;
        let signer = Authority::from_pem(&authority, &key, SystemTime::now()).map_err(broken)?;
        let certificate =
            signer.certify(&request.node, &node.host, &request.request).map_err(broken)?;
        let welcome = Welcome {
            certificate,
            authority,
            authority_key: (node.kind == NodeKind::Data).then(|| key.expose().clone()),
            token: read(&self.layout.token())?,
            secrets: self.secrets(&spec, node)?,
            file: to_toml(&spec),
        };
        // Used up before the answer leaves: an answer that is lost costs another token, not a
        // second machine.
        token.use_up(now);
        kept::write(file, &token).map_err(broken)?;
        Ok(welcome)
    }

    /// The secrets of the file that lie in the cluster's own folder. A witness has no server, so
    /// it gets no role's password.
    fn secrets(
        &self,
        spec: &ClusterSpec,
        node: &NodeSpec,
    ) -> Result<BTreeMap<String, String>, Denied> {
        let folder = self.layout.client_secrets();
        let store = match &spec.store {
            StoreSpec::Etcd(etcd) => etcd.password.as_ref(),
            StoreSpec::Embedded { .. } => None,
        };
        let roles = spec.roles.values().filter(|_| node.kind == NodeKind::Data);
        let wanted = roles.filter_map(|role| role.password.as_ref());
        let backup = spec.backup.iter().filter(|_| node.kind == NodeKind::Data);
        let backup = backup.flat_map(BackupSpec::secrets);
        let mut found = BTreeMap::new();
        for source in wanted.chain(spec.http.password.as_ref()).chain(store).chain(backup) {
            let SecretRef::File(path) = source else { continue };
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name.filter(|_| path.parent() == Some(&folder)) else { continue };
            if path.exists() {
                found.insert(name.to_owned(), read(path)?);
            }
        }
        Ok(found)
    }
}

impl Doorkeeper for Keeper {
    fn admit(&self, request: &JoinRequest) -> Result<Welcome, Denied> {
        let folder = self.layout.join_tokens();
        let file = kept::path(&folder, &request.id).filter(|file| file.exists());
        let file = file.ok_or_else(unknown)?;
        // Several nodes of one machine answer for the same tokens.
        let _lock = Lock::wait_for(&folder.join("lock")).map_err(broken)?;
        self.redeem(request, &file)
    }

    fn waiting(&self, node: &NodeName) -> Option<String> {
        std::fs::read_to_string(self.layout.issued().join(format!("{node}.crt"))).ok()
    }
}

fn read(path: &Path) -> Result<String, Denied> {
    let found = secret::read_file(path).map_err(broken)?;
    let found = found.map(|secret| secret.expose().clone());
    found.ok_or_else(|| broken(format!("not found: `{}`", path.display())))
}

fn unknown() -> Denied {
    Denied::Token(
        Refusal::new("no such token was created on this machine")
            .hint("on a machine of the cluster: howdah token create NODE"),
    )
}

fn refused(over: Over, token: &Kept) -> Denied {
    let why = match over {
        Over::Wrong => "the token is wrong".to_owned(),
        Over::Used => "the token was used already; each lets one machine in".to_owned(),
        Over::Expired => {
            let minutes = now_unix().saturating_sub(token.until_unix) / 60;
            format!("the token expired {minutes} min ago")
        }
    };
    let hint = format!("on a machine of the cluster: howdah token create {}", token.node);
    Denied::Token(Refusal::new(why).hint(hint))
}

fn not_in_file(node: &NodeName) -> Denied {
    Denied::Node(
        Refusal::new(format!("the cluster file in force has no such node: `{node}`"))
            .hint(format!("add [nodes.{node}] to the file, then howdah apply")),
    )
}

fn alive(node: &NodeName) -> Denied {
    Denied::Node(
        Refusal::new(format!("node {node} is alive already, on another machine or this one"))
            .hint("stop that one first, or create a token for another node"),
    )
}

fn broken(error: impl std::fmt::Display) -> Denied {
    Denied::Broken(
        Refusal::new(format!("the node cannot let a machine in: {error:#}"))
            .hint("look into that node's log; the token can be used again"),
    )
}
