//! The description of a cluster under test: what differs from the defaults, then how far to
//! start it.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::cluster::WHOLE_WITHIN;
use crate::file::{ClusterFile, Ports};
use crate::node::Node;
use crate::{Cluster, PortLease, Scratch, Store, writer};

/// A cluster that is being described; [`Setup::start`] makes it.
#[derive(Debug)]
pub struct Setup {
    binary: PathBuf,
    names: Vec<(String, Ports)>,
    file: ClusterFile,
    scratch: Scratch,
    lease: PortLease,
}

impl Setup {
    pub(crate) fn new(size: usize, binary: PathBuf) -> Setup {
        let (scratch, mut lease) = (Scratch::new(), PortLease::take());
        let names: Vec<(String, Ports)> =
            (1..=size).map(|n| (format!("n{n}"), Ports::lease(&mut lease))).collect();
        let file = ClusterFile::new(&scratch.path().join("base"), &names);
        Setup { binary, names, file, scratch, lease }.on(Store::usual())
    }

    /// Sets a key of the cluster file to a TOML value.
    #[must_use]
    pub fn set(mut self, section: &str, key: &str, value: &str) -> Setup {
        self.file.set(section, key, value);
        self
    }

    /// Keeps the record there, whatever the other clusters of this run do.
    #[must_use]
    pub fn on(mut self, store: Store) -> Setup {
        match store {
            Store::Embedded => self.file.remove("store.etcd"),
            Store::Etcd => self.file.set("store.etcd", "managed", "true"),
        }
        self
    }

    /// This node has a member of the store and no PostgreSQL.
    #[must_use]
    pub fn witness(self, node: &str) -> Setup {
        self.set(&format!("nodes.{node}"), "kind", "\"witness\"")
    }

    /// Standbys' confirmations are not waited for.
    #[must_use]
    pub fn asynchronous(self) -> Setup {
        self.set("", "durability", "\"async\"")
    }

    /// How long the right to write lasts without a renewal.
    #[must_use]
    pub fn lease(self, lease: &str) -> Setup {
        self.set("ha", "lease", &format!("\"{lease}\""))
    }

    #[must_use]
    pub fn parameter(self, name: &str, value: &str) -> Setup {
        self.set("postgresql.parameters", name, &format!("\"{value}\""))
    }

    /// Makes directories, certificates and secrets; starts nothing.
    #[track_caller]
    pub fn prepare(self) -> Cluster {
        let Setup { binary, names, file, scratch, lease } = self;
        let home = |name: &str| scratch.path().join("base/nodes").join(name);
        let nodes = names.into_iter().map(|(name, ports)| Node {
            data_dir: home(&name).join("data"),
            state_dir: home(&name).join("state"),
            log: scratch.path().join(format!("{name}.log")),
            binary: binary.clone(),
            file: scratch.path().join("howdah.toml"),
            agent: Mutex::new(None),
            name,
            ports,
        });
        let nodes = nodes.collect();
        let expected = Mutex::new(Vec::new());
        let cluster = Cluster { nodes, file, binary, expected, scratch, _lease: lease };
        cluster.write_file();
        cluster.howdah_ok(&["prepare"]);
        cluster
    }

    /// Prepares and starts all nodes at once, and waits until the cluster is whole and lets
    /// the role `app` in.
    #[track_caller]
    pub fn start(self) -> Cluster {
        let cluster = self.prepare();
        cluster.start_all();
        cluster.wait_whole();
        let plan = cluster.plan();
        cluster.wait_for("the role `app` is let in", WHOLE_WITHIN, || {
            writer::query(&plan, "SELECT 1").ok()
        });
        cluster
    }
}
