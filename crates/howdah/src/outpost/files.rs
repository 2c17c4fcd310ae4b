//! The folder of a proxy on a host without a node: what `howdah certs proxy` writes on a node, and
//! where the proxy remembers the nodes that it has learnt of.
//!
//! ```text
//! ca.crt               by which nodes are known
//! proxy.crt, .key      by which nodes know the proxy
//! server.crt, .key     by which its clients know it; others of one's own may take their place
//! cluster.json         names, and where nodes are
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use howdah_base::topology::Topology;
use howdah_base::{ClusterName, NodeName};
use howdah_spec::ClusterSpec;
use howdah_tls::{Authority, Owner, Pair};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::failure::{Failure, why};
use crate::prepare::write_file;

/// `cluster.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Known {
    pub cluster: ClusterName,
    /// The proxy's own.
    pub name: NodeName,
    /// Peer ports, `host:port`.
    pub nodes: Vec<String>,
    /// By which its clients reach it; its next certificate has them again.
    #[serde(default)]
    pub hosts: Vec<String>,
}

impl Known {
    /// `hosts`: none, and they stay what they are in `folder`.
    pub fn of(spec: &ClusterSpec, name: &NodeName, hosts: &[String], folder: &Path) -> Known {
        let before = || Folder::open(folder).map(|folder| folder.known.hosts).unwrap_or_default();
        let hosts = if hosts.is_empty() { before() } else { hosts.to_vec() };
        let nodes = spec.nodes.values().map(|node| address(&node.host, node.peer_port)).collect();
        Known { cluster: spec.cluster.clone(), name: name.clone(), nodes, hosts }
    }
}

/// Writes what a proxy needs. The CA's own file is as it lies beside the authority.
pub fn write(
    folder: &Path,
    authority: &Authority,
    known: &Known,
    owner: Option<Owner>,
) -> anyhow::Result<()> {
    authority.proxy(&known.name, &known.hosts, folder, owner)?;
    let text = serde_json::to_string_pretty(known)? + "\n";
    write_file(&folder.join(KNOWN), 0o644, text.as_bytes())
}

const KNOWN: &str = "cluster.json";

/// It, read.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    pub known: Known,
}

impl Folder {
    pub fn open(path: &Path) -> anyhow::Result<Folder> {
        let path = std::path::absolute(path).context("find the working directory")?;
        let file = path.join(KNOWN);
        let hint = "on a node, as who prepared it: howdah certs proxy NAME; then copy that folder \
                    to this host";
        let text = fs::read_to_string(&file).map_err(|error| {
            let message = format!("cannot read the file, {}: `{}`", why(&error), file.display());
            Failure::bad_input(message).hint(hint)
        })?;
        let known = serde_json::from_str(&text).map_err(|error| {
            Failure::bad_input(format!("cannot use the file, {error}: `{}`", file.display()))
                .hint(hint)
        })?;
        Ok(Folder { path, known })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn ca(&self) -> PathBuf {
        self.path.join("ca.crt")
    }

    pub fn proxy_pair(&self) -> Pair {
        Pair::at(&self.path, "proxy")
    }

    pub fn server_pair(&self) -> Pair {
        Pair::at(&self.path, "server")
    }

    /// Remembers for the next start where nodes are, whenever that changes.
    pub async fn keep_addresses(mut self, mut topology: watch::Receiver<Topology>) {
        while topology.changed().await.is_ok() {
            let nodes: BTreeSet<String> = {
                let now = topology.borrow_and_update();
                now.nodes.values().map(|node| address(&node.host, node.peer_port)).collect()
            };
            let before: BTreeSet<String> = self.known.nodes.iter().cloned().collect();
            if nodes.is_empty() || nodes == before {
                continue;
            }
            self.known.nodes = nodes.into_iter().collect();
            let (file, known) = (self.path.join(KNOWN), self.known.clone());
            let kept = tokio::task::spawn_blocking(move || {
                let text = serde_json::to_string_pretty(&known)? + "\n";
                write_file(&file, 0o644, text.as_bytes())
            });
            match kept.await {
                Ok(Ok(())) => tracing::info!(nodes = ?self.known.nodes, "the nodes are others now"),
                Ok(Err(error)) => tracing::warn!(
                    "where the nodes are now cannot be kept for the next start: {error:#}"
                ),
                Err(_) => return,
            }
        }
    }
}

/// `host:port`, with an IPv6 address in brackets.
fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
