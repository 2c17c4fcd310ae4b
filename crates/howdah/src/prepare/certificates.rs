//! The cluster's CA and what it signs for this machine. The CA's key lies on the first machine and
//! on every data node that joined; a witness has only its own certificate.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use howdah_base::{ClusterName, NodeName};
use howdah_spec::{ClusterSpec, NodeKind, NodeSpec};
use howdah_tls::{Authority, Certificate, Life, Owner, Pair, TlsError};

use super::{Account, Layout};
use crate::failure::Failure;
use crate::talk::say;

/// What certificates are made for.
#[derive(Debug)]
pub struct Wanted<'a> {
    pub layout: &'a Layout,
    pub cluster: &'a ClusterName,
    /// The nodes of this machine.
    pub nodes: &'a BTreeMap<NodeName, NodeSpec>,
    pub server: &'a Account,
}

impl Wanted<'_> {
    /// Makes what is missing or due. `may_found`: a CA too, where there is none.
    pub fn make(&self, may_found: bool) -> anyhow::Result<()> {
        if !authority_pair(self.layout).certificate.exists() && !may_found {
            return Err(self.not_joined().into());
        }
        match self.open()? {
            Some(authority) => self.sign_all(&authority).map(|_| ()),
            None => self.nodes.keys().try_for_each(|node| self.check(node)),
        }
    }

    /// The CA, if this user can read its key.
    pub fn open(&self) -> anyhow::Result<Option<Authority>> {
        let made = Authority::open_or_create(&self.layout.tls(), self.cluster, SystemTime::now());
        match made {
            Ok(authority) => Ok(Some(authority)),
            Err(TlsError::AuthorityKeyMissing { .. }) => Ok(None),
            Err(TlsError::File { source, path, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied
                    && path == authority_pair(self.layout).key =>
            {
                Ok(None)
            }
            Err(error) => Err(error).context("open the cluster's CA"),
        }
    }

    /// Makes what is missing or due; the pairs whose certificate is another one now.
    pub fn sign_all(&self, authority: &Authority) -> anyhow::Result<Vec<Pair>> {
        let owner = Some(owner_of(self.server));
        let tls = self.layout.tls();
        let mut pairs: Vec<Pair> =
            self.nodes.keys().map(|node| Pair::at(&tls, node.as_str())).collect();
        pairs.push(Pair::at(&tls, "replicator"));
        let before: Vec<_> = pairs.iter().map(serial).collect();
        for (name, node) in self.nodes {
            authority
                .node(name, &node.host, owner)
                .with_context(|| format!("make the certificate of {name}"))?;
        }
        if self.nodes.values().any(|node| node.kind == NodeKind::Data) {
            authority.replicator(owner).context("make the standbys' certificate")?;
        }
        let changed = pairs.into_iter().zip(before);
        Ok(changed.filter(|(pair, before)| serial(pair) != *before).map(|(pair, _)| pair).collect())
    }

    /// Without the CA's key: what is there must do.
    fn check(&self, node: &NodeName) -> anyhow::Result<()> {
        let pair = Pair::at(&self.layout.tls(), node.as_str());
        let found = Certificate::read(&pair.certificate)?;
        let Some(certificate) = found.filter(|_| pair.key.exists()) else {
            return Err(Failure::failed(format!(
                "node {node} has no certificate, and the CA's key to make one is not here: `{}`",
                self.layout.tls().display()
            ))
            .hint(join_hint(node))
            .into());
        };
        if certificate.life(SystemTime::now()) == Life::Expired {
            say(format!("howdah: the certificate of {node} has expired; other nodes refuse it"));
            say(format!("hint: {}", join_hint(node)));
        }
        Ok(())
    }

    fn not_joined(&self) -> Failure {
        let (cluster, tls) = (self.cluster, self.layout.tls());
        let node = self.nodes.keys().next().map_or("NODE", NodeName::as_str);
        Failure::failed(format!(
            "this machine is not one of cluster {cluster} yet, it has no certificate: `{}`",
            tls.display()
        ))
        .hint(format!(
            "on a machine that is: howdah token create {node}; and here what it prints. \
             On the very first machine: howdah prepare"
        ))
    }
}

fn join_hint(node: &NodeName) -> String {
    format!("on a machine with the CA's key: howdah token create {node}; and here what it prints")
}

/// The operator's certificate of whoever prepares, beside the token.
pub fn make_operator(layout: &Layout, spec: &ClusterSpec, invoker: &Account) -> anyhow::Result<()> {
    let nodes = BTreeMap::new();
    let wanted = Wanted { layout, cluster: &spec.cluster, nodes: &nodes, server: invoker };
    let Some(authority) = wanted.open()? else { return Ok(()) };
    renew_operator(&authority, layout, invoker)
}

/// Keeps the owner and the name of a certificate that is there: root's timer renews it for
/// whoever made it.
pub fn renew_operator(
    authority: &Authority,
    layout: &Layout,
    maker: &Account,
) -> anyhow::Result<()> {
    let pair = layout.client_operator();
    let there = Certificate::read(&pair.certificate).ok().flatten();
    let name =
        there.as_ref().and_then(|there| there.common_name.strip_prefix(howdah_tls::OPERATOR));
    let name = name.map_or_else(|| operator_name(&maker.name), str::to_owned);
    let owner = owner_of_file(&pair.key).unwrap_or_else(|| owner_of(maker));
    let made = authority.operator(&name, &layout.client(), Some(owner));
    made.context("make the operator's certificate").map(|_| ())
}

/// A user's name may have letters that a certificate's may not.
fn operator_name(user: &str) -> String {
    let fit = |c: &char| c.is_ascii_alphanumeric() || "._-@".contains(*c);
    let name: String = user.chars().filter(fit).take(40).collect();
    if name.is_empty() { "operator".to_owned() } else { name }
}

pub fn authority_pair(layout: &Layout) -> Pair {
    Pair::at(&layout.tls(), "ca")
}

pub fn owner_of(account: &Account) -> Owner {
    Owner { uid: account.uid.as_raw(), gid: account.gid.as_raw() }
}

fn owner_of_file(path: &Path) -> Option<Owner> {
    let meta = fs::metadata(path).ok()?;
    Some(Owner { uid: meta.uid(), gid: meta.gid() })
}

fn serial(pair: &Pair) -> Option<String> {
    Certificate::read(&pair.certificate).ok().flatten().map(|certificate| certificate.serial)
}
