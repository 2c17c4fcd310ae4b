//! Where things lie below base_dir. Every path that the binary makes up is made up here.
//!
//! ```text
//! base_dir/            0755, of whoever prepares (root, usually)
//!   howdah.toml        the file as `up` resolved it
//!   ports              which ports were replaced, for the next `up`
//!   .howdah            says that Howdah made this folder; `down --purge` asks for it
//!   tls/               CA and certificates
//!   secrets/           0700, of the server's user: token, join/ (tokens of machines to come)
//!   client/            of the one who ran `up`: ca.crt, operator.crt, pgpass, token, secrets/
//!   store/             embedded store; or the right to found a managed one, until it is used
//!   nodes/NODE/        data, state, store (its member of a managed store)
//!   drill/             0700, of the server's user: copies of backups while they are tried, unless the
//!                      file names another folder
//!   up.pid  up.log     supervisor
//! ```

use std::path::{Path, PathBuf};

use howdah_base::NodeName;
use howdah_spec::NodeSpec;
use howdah_tls::Pair;

/// The paths of one cluster on this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    base: PathBuf,
}

impl Layout {
    pub fn new(base_dir: &Path) -> Layout {
        Layout { base: base_dir.to_path_buf() }
    }

    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The resolved cluster file: what `run` and the verbs that ask read.
    pub fn file(&self) -> PathBuf {
        self.base.join("howdah.toml")
    }

    pub fn ports(&self) -> PathBuf {
        self.base.join("ports")
    }

    pub fn marker(&self) -> PathBuf {
        self.base.join(".howdah")
    }

    /// Held while base_dir is being prepared: two nodes must not both make a CA.
    /// What files of operators said when they were last applied.
    pub fn applied(&self) -> PathBuf {
        self.base.join("applied")
    }

    pub fn prepare_lock(&self) -> PathBuf {
        self.base.join("prepare.lock")
    }

    pub fn tls(&self) -> PathBuf {
        self.base.join("tls")
    }

    /// What the servers' user reads and nobody else.
    pub fn secrets(&self) -> PathBuf {
        self.base.join("secrets")
    }

    /// The bearer token of the HTTP API, as nodes read it.
    pub fn token(&self) -> PathBuf {
        self.secrets().join("token")
    }

    /// Tokens of machines that are to join, one file each.
    pub fn join_tokens(&self) -> PathBuf {
        self.secrets().join("join")
    }

    /// The cluster's CA, as every process here may read it.
    pub fn ca(&self) -> PathBuf {
        self.tls().join("ca.crt")
    }

    /// Certificates that wait for nodes which cannot sign their own.
    pub fn issued(&self) -> PathBuf {
        self.tls().join("issued")
    }

    /// The certificate by which the one who prepared orders changes.
    pub fn client_operator(&self) -> Pair {
        Pair::at(&self.client(), "operator")
    }

    pub fn client(&self) -> PathBuf {
        self.base.join("client")
    }

    pub fn client_secrets(&self) -> PathBuf {
        self.client().join("secrets")
    }

    pub fn client_ca(&self) -> PathBuf {
        self.client().join("ca.crt")
    }

    pub fn client_pgpass(&self) -> PathBuf {
        self.client().join("pgpass")
    }

    pub fn client_token(&self) -> PathBuf {
        self.client().join("token")
    }

    pub fn nodes(&self) -> PathBuf {
        self.base.join("nodes")
    }

    pub fn node(&self, node: &NodeName) -> PathBuf {
        self.nodes().join(node.as_str())
    }

    /// The node's own member of a managed store.
    pub fn store_member(&self, node: &NodeName) -> PathBuf {
        self.node(node).join("store")
    }

    /// What nodes of a managed store have in common here, before there is a store.
    pub fn store(&self) -> PathBuf {
        self.base.join("store")
    }

    /// The right to found a managed store, of one node.
    pub fn founding(&self, node: &NodeName) -> PathBuf {
        self.store().join(format!("founding-{node}"))
    }

    pub fn up_pid(&self) -> PathBuf {
        self.base.join("up.pid")
    }

    pub fn up_log(&self) -> PathBuf {
        self.base.join("up.log")
    }
}

/// Held by a running node; holds its process id.
pub fn node_lock(node: &NodeSpec) -> PathBuf {
    node.state_dir.join("agent.lock")
}

/// What a node says, when `up` started it.
pub fn node_log(node: &NodeSpec) -> PathBuf {
    log_dir(node).join("howdah.log")
}

pub fn log_dir(node: &NodeSpec) -> PathBuf {
    node.state_dir.join("log")
}

pub fn guard_socket(node: &NodeSpec) -> PathBuf {
    node.state_dir.join("guard.sock")
}

/// The folder of the socket of a server that replays WAL into a directory that is being made. Not the node's
/// own: who looks for its server there must not find this one. No longer than that: sockets' paths are short.
pub fn making_run(node: &NodeSpec) -> PathBuf {
    node.state_dir.join("new")
}

pub fn making_log(node: &NodeSpec) -> PathBuf {
    log_dir(node).join("making.log")
}

/// Where `howdah wal` finds the node's agent.
pub fn archive_socket(node: &NodeSpec) -> PathBuf {
    node.state_dir.join("archive.sock")
}

/// What a node remembers of having been admitted.
pub fn admitted(node: &NodeSpec) -> PathBuf {
    node.state_dir.join("admitted.json")
}

/// Held by the keeper of the node's member of a managed store; holds its process id.
pub fn store_lock(node: &NodeSpec) -> PathBuf {
    node.state_dir.join("store.lock")
}

/// Where that keeper answers.
pub fn store_socket(node: &NodeSpec) -> PathBuf {
    node.state_dir.join("store.sock")
}

/// What the keeper says, and what its etcd says.
pub fn store_log(node: &NodeSpec) -> PathBuf {
    log_dir(node).join("store.log")
}

pub fn etcd_log(node: &NodeSpec) -> PathBuf {
    log_dir(node).join("etcd.log")
}

/// Where the virtual IP's helper answers.
pub fn vip_socket(node: &NodeSpec) -> PathBuf {
    node.state_dir.join("vip.sock")
}

/// What that helper says.
pub fn vip_log(node: &NodeSpec) -> PathBuf {
    log_dir(node).join("vip-helper.log")
}
