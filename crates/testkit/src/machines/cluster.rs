//! A cluster whose nodes have a machine each: founded by `howdah prepare` on the first, joined
//! by tokens on the others, as an operator does it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::{Cables, Machines};
use crate::cluster::{Begun, WHOLE_WITHIN};
use crate::{Cluster, Disk, Node, Setup, Store};

impl Setup {
    /// Gives every node a machine, and the cluster the nodes' own etcd. `None` where this
    /// process may not make networks. The calling thread moves to the desk.
    #[must_use]
    pub fn on_machines(mut self) -> Option<Setup> {
        let names: Vec<&str> = self.names.iter().map(|(name, _)| name.as_str()).collect();
        let machines = Machines::new(&names)?;
        for machine in machines.machines() {
            let section = format!("nodes.{}", machine.name);
            let address = machine.address;
            self.file.set(&section, "host", &format!("\"{address}\""));
            self.file.set(&section, "listen", &format!("[\"{address}\", \"127.0.0.1\"]"));
        }
        let first = self.scratch.path().join(names[0]).display().to_string();
        self.file.set("", "base_dir", &format!("{first:?}"));
        let rules = "[\"host all all 127.0.0.1/32 scram-sha-256\", \
                     \"host all all 10.77.0.0/24 scram-sha-256\"]";
        self.file.set("", "hba", rules);
        self.machines = Some(machines);
        Some(self.on(Store::Etcd))
    }

    /// Gives every machine a disk of its own, in the order of the nodes, and servers that fit on
    /// it. `None` where this process may not mount.
    #[must_use]
    pub fn with_disks(self, megabytes: u64) -> Option<(Setup, Vec<Disk>)> {
        let place = |name: &String| self.scratch.path().join(name);
        let disks = self.names.iter().map(|(name, _)| Disk::mount(&place(name), megabytes));
        let disks = disks.collect::<Option<Vec<_>>>()?;
        let small = self
            .parameter("max_wal_size", "192MB")
            .parameter("wal_keep_size", "64MB")
            .parameter("max_slot_wal_keep_size", "400MB");
        Some((small, disks))
    }
}

impl Cluster {
    /// What lies between the machines.
    #[track_caller]
    pub fn cables(&self) -> Cables<'_> {
        self.network().cables()
    }

    /// Moves the calling thread to the desk of this cluster's network, if it has one.
    pub fn sit_down(&self) {
        self.machines.iter().for_each(Machines::sit_down);
    }

    #[track_caller]
    fn network(&self) -> &Machines {
        self.machines.as_ref().expect("a cluster on machines")
    }

    /// The loss of a host: its network goes dark first, then everything on it is killed.
    #[track_caller]
    pub fn lose_host(&self, node: &Node) {
        self.cables().go_dark(&node.name);
        self.network().machine(&node.name).kill_all();
    }

    /// The host is there again, and its service manager starts the node.
    #[track_caller]
    pub fn return_host(&self, node: &Node) {
        self.cables().come_back(&node.name);
        node.start();
    }

    /// Runs a verb on one machine, with the file that lies there.
    #[track_caller]
    pub fn howdah_on(&self, node: &Node, arguments: &[&str]) -> Output {
        self.verb_on(node, arguments).output().expect("run `howdah`")
    }

    /// The same, while it runs.
    #[track_caller]
    pub fn howdah_begun_on(&self, node: &Node, arguments: &[&str]) -> Begun {
        Begun::of(&mut self.verb_on(node, arguments))
    }

    fn verb_on(&self, node: &Node, arguments: &[&str]) -> Command {
        let mut command = node.command(&self.binary);
        command.args(arguments).arg("-f").arg(&node.file);
        command
    }

    #[track_caller]
    pub(crate) fn prepare_first_machine(&self) {
        let first = &self.nodes[0];
        let mut command = first.command(&self.binary);
        command.args(["prepare", "--node", &first.name, "-f"]).arg(self.file_path());
        let output = command.output().expect("run `howdah prepare`");
        assert!(output.status.success(), "{}", in_words(&output));
    }

    /// Brings a machine in that has nothing of the cluster yet; the first one must run.
    #[track_caller]
    pub(crate) fn join_if_new(&self, node: &Node) {
        if self.machines.is_none() || node.file.exists() {
            return;
        }
        let made = self.howdah_on(&self.nodes[0], &["token", "create", &node.name]);
        assert!(made.status.success(), "{}", in_words(&made));
        let printed = String::from_utf8_lossy(&made.stdout).into_owned();
        let token = printed.trim().strip_prefix("howdah join ").expect("a command");
        // The first machine answers as soon as its port is open, long before its store does.
        self.wait_for(&format!("{} joins", node.name), WHOLE_WITHIN, || {
            let mut command = node.command(&self.binary);
            command.args(["join", token, "--base-dir"]).arg(&node.base_dir);
            let output = command.output().expect("run `howdah join`");
            let said = in_words(&output);
            assert!(output.status.success() || said.contains("cannot connect"), "{said}");
            output.status.success().then_some(())
        });
    }

    /// Exchanges the program of all nodes, as an upgrade does: what runs goes on with the old one.
    pub fn exchange_binary(&self, new: &Path) {
        let beside = self.binary.with_extension("new");
        fs::copy(new, &beside).expect("copy the program");
        fs::rename(&beside, &self.binary).expect("put it in place");
    }
}

fn in_words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}
