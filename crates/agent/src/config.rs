//! What an agent is told at its start.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use howdah_base::backups::Archived;
use howdah_base::{Gauge, NodeName};
use howdah_postgres::install::Install;
use howdah_spec::{ClusterSpec, Machine, NodeKind, NodeSpec};
use howdah_store::Store;
use tokio::sync::watch;

use crate::heartbeat::Peers;
use crate::{Backups, WalSource};

/// One node's fixed facts; what may change while it runs lies in the cluster file's text.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    pub node: NodeName,
    /// The cluster file as this node was started with it.
    pub spec: Arc<ClusterSpec>,
    /// Its text: what the store gets when it knows none yet.
    pub text: String,
    pub store: Arc<dyn Store>,
    /// PostgreSQL's programs; `None` on a witness.
    pub install: Option<Install>,
    pub machine: Machine,
    pub tls: TlsFiles,
    /// Folder against which relative secret files are resolved.
    pub secrets_dir: PathBuf,
    /// The executable that runs as guard.
    pub exe: PathBuf,
    /// The system user that everything runs as.
    pub os_user: String,
    /// What others have to say of this node in the status, its certificate's end for example.
    pub notices: watch::Receiver<Vec<String>>,
    /// How far the WAL of this node's server is in the repository, while it is shipped.
    pub archived: watch::Receiver<Option<Archived>>,
    /// Drawn for this agent: tells it from another one that was started for the same node.
    pub agent: String,
    /// The one that ran on this machine before: what it left in the store is this agent's.
    pub before: Option<String>,
    /// Fingerprint of what all nodes' files must share.
    pub file_print: String,
    /// Clients of the endpoints whose session with this node's server is being opened.
    pub arriving: Gauge,
    /// Their sessions with the primary that asked for commits that do not wait.
    pub opted_out: Gauge,
    /// How the other nodes are asked.
    pub peers: Arc<dyn Peers>,
    /// The way to WAL of other nodes' dead servers.
    pub wal: Arc<dyn WalSource>,
    /// The way to the repository, for directories that are made from it.
    pub backups: Arc<dyn Backups>,
    /// Parses a cluster file's text; given by the binary, which knows the places of files.
    pub parse: fn(&str, &ClusterSpec) -> Result<ClusterSpec, String>,
}

/// Certificates and keys, in files that PostgreSQL reads itself.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub ca: PathBuf,
    pub server_cert: PathBuf,
    pub server_key: PathBuf,
    pub replicator_cert: PathBuf,
    pub replicator_key: PathBuf,
}

impl AgentConfig {
    /// This node's own part of the file.
    ///
    /// # Panics
    /// When the file does not name this node: the binary checks that before it builds this.
    pub fn own(&self) -> &NodeSpec {
        self.spec.nodes.get(&self.node).expect("the file names this node")
    }

    pub fn is_witness(&self) -> bool {
        self.own().kind == NodeKind::Witness
    }

    /// PostgreSQL's programs, for jobs that only a node with data does.
    pub(crate) fn install(&self) -> Result<&Install, String> {
        self.install.as_ref().ok_or_else(|| "a witness has no PostgreSQL".to_owned())
    }

    /// PostgreSQL's major version; zero on a witness.
    pub(crate) fn major(&self) -> u32 {
        self.install.as_ref().map_or(0, |install| install.major)
    }

    pub(crate) fn socket_dir(&self) -> PathBuf {
        self.own().state_dir.join("run")
    }

    pub(crate) fn guard_socket(&self) -> PathBuf {
        self.own().state_dir.join("guard.sock")
    }

    pub(crate) fn listen(&self) -> Vec<IpAddr> {
        let mut all = self.spec.lasting_addresses(self.own());
        let loopback = IpAddr::from([127, 0, 0, 1]);
        if !all.contains(&loopback) {
            all.push(loopback);
        }
        all
    }
}
