//! The description of a cluster under test: what differs from the defaults, then how far to
//! start it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::cluster::WHOLE_WITHIN;
use crate::file::{ClusterFile, Ports};
use crate::node::Node;
use crate::time_of_day::{self, TimeOfDay};
use crate::{Cluster, Machines, PortLease, Scratch, Store, majors, pg_node, writer};

/// A cluster that is being described; [`Setup::start`] makes it.
#[derive(Debug)]
pub struct Setup {
    binary: PathBuf,
    pub(crate) names: Vec<(String, Ports)>,
    pub(crate) file: ClusterFile,
    pub(crate) scratch: Scratch,
    pub(crate) machines: Option<Machines>,
    times_of_day: Option<PathBuf>,
    lease: PortLease,
}

impl Setup {
    pub(crate) fn new(size: usize, binary: PathBuf) -> Setup {
        let (scratch, mut lease) = (Scratch::new(), PortLease::take());
        let names: Vec<(String, Ports)> =
            (1..=size).map(|n| (format!("n{n}"), Ports::lease(&mut lease))).collect();
        let file = ClusterFile::new(&scratch.path().join("base"), &names);
        let setup =
            Setup { binary, names, file, scratch, machines: None, times_of_day: None, lease };
        setup.on(Store::usual())
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

    /// Each node has a time of day of its own, which [`Node::set_time_of_day`] sets.
    #[must_use]
    pub fn times_of_day(mut self) -> Setup {
        let dir = self.scratch.path().join("times-of-day");
        let programs = majors::chosen_bin_dir().unwrap_or_else(pg_node::bin_dir);
        let programs = time_of_day::prepare(&dir, &programs);
        self.times_of_day = Some(dir);
        self.set("postgresql", "bin_dir", &format!("{:?}", programs.display().to_string()))
    }

    #[must_use]
    pub fn parameter(self, name: &str, value: &str) -> Setup {
        self.set("postgresql.parameters", name, &format!("\"{value}\""))
    }

    /// Makes directories, certificates and secrets; starts nothing.
    #[track_caller]
    pub fn prepare(mut self) -> Cluster {
        let names = std::mem::take(&mut self.names);
        self.file.without_schedule();
        let nodes = names.into_iter().map(|(name, ports)| self.node(name, ports)).collect();
        let Setup { binary, file, scratch, machines, lease, .. } = self;
        let expected = Mutex::new(Vec::new());
        let cluster = Cluster { nodes, file, binary, expected, scratch, machines, _lease: lease };
        cluster.write_file();
        match &cluster.machines {
            Some(_) => cluster.prepare_first_machine(),
            None => drop(cluster.howdah_ok(&["prepare"])),
        }
        cluster
    }

    fn node(&self, name: String, ports: Ports) -> Node {
        let scratch = self.scratch.path();
        let machine = self.machines.as_ref().map(|machines| machines.machine(&name));
        let base_dir = match machine {
            Some(_) => scratch.join(&name),
            None => scratch.join("base"),
        };
        Node {
            host: machine.map_or(Ipv4Addr::LOCALHOST, |machine| machine.address),
            space: machine.map(|machine| machine.space().clone()),
            data_dir: base_dir.join("nodes").join(&name).join("data"),
            state_dir: base_dir.join("nodes").join(&name).join("state"),
            log: scratch.join(format!("{name}.log")),
            binary: self.binary.clone(),
            file: machine.map_or(scratch, |_| &base_dir).join("howdah.toml"),
            agent: Mutex::new(None),
            time_of_day: self.times_of_day.as_ref().map(|dir| TimeOfDay::of(dir, &name)),
            base_dir,
            name,
            ports,
        }
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
