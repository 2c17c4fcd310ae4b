//! Keepers of a few nodes in one process: each is a task, and aborting it is its kill -9.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use howdah_base::NodeName;
use howdah_etcd::{Founding, MemberOptions, Parse, Phase, Place, Report, TlsFiles, ask, keep};
use howdah_testkit::process::{self, Process};
use howdah_testkit::{PortLease, Scratch, wait};
use howdah_tls::Authority;
use nix::sys::signal::Signal;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// A member comes up, or is replaced, within this on a busy machine.
pub const WITHIN: Duration = Duration::from_secs(60);
pub const CONFIG: &str = "/howdah/test/config";
pub const LEADER: &str = "/howdah/test/leader";

pub struct Rig {
    pub places: BTreeMap<NodeName, Place>,
    pub scratch: Scratch,
    pub runtime: Runtime,
    pub quota_bytes: u64,
    keepers: BTreeMap<String, JoinHandle<()>>,
    _ports: PortLease,
}

pub fn name(text: &str) -> NodeName {
    text.parse().expect("a node's name")
}

impl Rig {
    /// Places for these nodes, with certificates of one CA; nothing runs.
    pub fn of(nodes: &[&str]) -> Rig {
        howdah_tls::install_provider();
        let (scratch, mut ports) = (Scratch::new(), PortLease::take());
        let places: BTreeMap<_, _> = nodes
            .iter()
            .map(|node| {
                let (client_port, peer_port) = (ports.next_port(), ports.next_port());
                (name(node), Place { host: "127.0.0.1".to_owned(), client_port, peer_port })
            })
            .collect();
        let rig = Rig {
            places,
            scratch,
            runtime: Runtime::new().expect("a runtime"),
            quota_bytes: MemberOptions::QUOTA_BYTES,
            keepers: BTreeMap::new(),
            _ports: ports,
        };
        fs::create_dir(rig.path("tls")).expect("made");
        rig.authority("tls");
        for node in nodes {
            fs::create_dir_all(rig.path(&format!("{node}/store"))).expect("made");
        }
        rig
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.scratch.path().join(below)
    }

    /// A CA in that folder, and all nodes' certificates by it.
    pub fn authority(&self, folder: &str) -> Authority {
        let cluster = "test".parse().expect("a cluster's name");
        let authority = Authority::open_or_create(&self.path(folder), &cluster, SystemTime::now());
        let authority = authority.expect("a CA");
        for (node, place) in &self.places {
            authority.node(node, &place.host, None).expect("a certificate");
        }
        authority
    }

    /// The right to found the store, for these nodes together.
    pub fn may_found(&self, nodes: &[&str]) {
        let right = Founding::of(nodes.iter().map(|node| name(node)).collect()).expect("a nonce");
        for node in nodes {
            fs::write(self.path(&format!("{node}/founding")), right.text()).expect("written");
        }
    }

    pub fn options(&self, node: &str, members: &[&str]) -> MemberOptions {
        let places = self.places.clone();
        let of = move |names: &[&str]| -> BTreeMap<NodeName, Place> {
            names.iter().map(|n| (name(n), places[&name(n)].clone())).collect()
        };
        let own = |file: &str| self.path(&format!("{node}/{file}"));
        let tls = |end: &str| self.path(&format!("tls/{node}.{end}"));
        MemberOptions {
            node: name(node),
            place: self.places[&name(node)].clone(),
            data_dir: own("store"),
            socket: own("store.sock"),
            log: own("etcd.log"),
            own_log: own("store.log"),
            bin: None,
            listen: vec!["127.0.0.1".parse().expect("an address")],
            members: of(members),
            token: "test".to_owned(),
            tls: TlsFiles { ca: self.path("tls/ca.crt"), certificate: tls("crt"), key: tls("key") },
            founding: own("founding"),
            config_key: CONFIG.to_owned(),
            leader_key: LEADER.to_owned(),
            parse: Parse::new(move |record| Ok(of(&record.split(' ').collect::<Vec<_>>()))),
            lease: Duration::from_secs(6),
            quota_bytes: self.quota_bytes,
        }
    }

    /// Starts the node's keeper, told of these members.
    pub fn start(&mut self, node: &str, members: &[&str]) {
        self.start_with(self.options(node, members));
    }

    pub fn start_with(&mut self, options: MemberOptions) {
        let node = options.node.to_string();
        let keeper = self.runtime.spawn(async move {
            keep(options).await.expect("a keeper that goes on");
        });
        if let Some(earlier) = self.keepers.insert(node, keeper) {
            assert!(earlier.is_finished(), "one keeper a node");
        }
    }

    /// All nodes, founding the store together, until each is a member that counts.
    pub fn up(nodes: &[&str]) -> Rig {
        let mut rig = Rig::of(nodes);
        rig.may_found(nodes);
        for node in nodes {
            rig.start(node, nodes);
        }
        for node in nodes {
            rig.wait_well(node);
        }
        rig
    }

    /// The end of a keeper that nobody could prepare for.
    pub fn kill_keeper(&mut self, node: &str) {
        let keeper = self.keepers.remove(node).expect("a keeper");
        keeper.abort();
        wait::until(
            "the keeper is gone",
            WITHIN,
            || keeper.is_finished().then_some(()),
            || self.seen(),
        );
    }

    /// Waits for a keeper that has nothing to keep any more.
    pub fn wait_keeper_ends(&self, node: &str) {
        let ended = || self.keepers[node].is_finished().then_some(());
        wait::until(&format!("the keeper of {node} ends"), WITHIN, ended, || self.seen());
    }

    /// Keeper and etcd at once, as when the machine is lost.
    pub fn kill_both(&mut self, node: &str) {
        self.kill_keeper(node);
        self.kill_etcd(node);
    }

    pub fn etcd(&self, node: &str) -> Option<Process> {
        let place = self.path(&format!("{node}/store"));
        process::working_on(&place).into_iter().next()
    }

    /// kill -9 of the node's etcd; its process id.
    pub fn kill_etcd(&self, node: &str) -> i32 {
        let pid = self.etcd(node).expect("etcd runs").pid;
        process::signal(pid, Signal::SIGKILL);
        wait::until(
            "etcd is gone",
            WITHIN,
            || self.etcd(node).is_none_or(|now| now.pid != pid).then_some(()),
            || self.seen(),
        );
        pid
    }

    pub fn report(&self, node: &str) -> Option<Report> {
        let socket = self.path(&format!("{node}/store.sock"));
        self.runtime.block_on(ask(&socket)).ok()
    }

    pub fn wait_report<T>(
        &self,
        node: &str,
        what: &str,
        mut is: impl FnMut(&Report) -> Option<T>,
    ) -> T {
        let what = format!("{node}: {what}");
        wait::until(&what, WITHIN, || is(&self.report(node)?), || self.seen())
    }

    pub fn wait_well(&self, node: &str) -> Report {
        self.wait_report(node, "is a member that counts", |report| {
            (report.phase == Phase::Well).then(|| report.clone())
        })
    }

    /// `etcdctl` at one node's member, with that node's certificate.
    pub fn try_ctl(&self, node: &str, arguments: &[&str]) -> Result<String, String> {
        self.ctl_as(node, node, arguments)
    }

    /// `etcdctl` with the certificate `tls/<who>`.
    pub fn ctl_as(&self, node: &str, who: &str, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--command-timeout=3s", "--dial-timeout=2s"])
            .arg(format!("--endpoints={}", self.places[&name(node)].client_url()))
            .arg("--cacert")
            .arg(self.path("tls/ca.crt"))
            .arg("--cert")
            .arg(self.path(&format!("tls/{who}.crt")))
            .arg("--key")
            .arg(self.path(&format!("tls/{who}.key")))
            .args(arguments)
            .output()
            .expect("etcdctl: install etcd-client");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    #[track_caller]
    pub fn ctl(&self, node: &str, arguments: &[&str]) -> String {
        self.try_ctl(node, arguments).unwrap_or_else(|error| panic!("{error}\n{}", self.seen()))
    }

    /// Waits until the store, asked at `node`, has exactly these members, all of which count.
    pub fn wait_members(&self, node: &str, wanted: &[&str]) {
        let want: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        let members = || -> Option<Vec<String>> {
            let list = self.try_ctl(node, &["member", "list"]).ok()?;
            let mut names: Vec<String> = list
                .lines()
                .filter_map(|line| {
                    let fields: Vec<&str> = line.split(", ").collect();
                    let counts = fields.last() == Some(&"false") && fields[1] == "started";
                    Some(format!("{}{}", fields.get(2)?, if counts { "" } else { "?" }))
                })
                .collect();
            names.sort();
            Some(names)
        };
        wait::until(
            &format!("the members are {want:?}"),
            WITHIN,
            || members().filter(|names| *names == want).map(drop),
            || format!("{:?}\n{}", members(), self.seen()),
        );
    }

    pub fn seen(&self) -> String {
        let mut seen = String::new();
        for node in self.places.keys() {
            let log = fs::read_to_string(self.path(&format!("{node}/etcd.log")));
            let log = log.unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(6)..].join("\n");
            let etcd = self.etcd(node.as_str()).map(|process| process.pid);
            seen += &format!("--- {node} etcd {etcd:?} {:?}\n{last}\n", self.report(node.as_str()));
        }
        seen
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for keeper in self.keepers.values() {
            keeper.abort();
        }
        process::kill_all(|| process::working_on(self.scratch.path()));
    }
}
