//! `Cluster::of(3)`: three real nodes of our binary, on this machine, for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use howdah_base::record::ServerState;
use howdah_base::status::{ClusterStatus, NodeStatus};
use nix::sys::signal::Signal;
use tokio_postgres::Config;

use crate::file::{ClusterFile, Ports};
use crate::node::Node;
use crate::setup::Setup;
use crate::{Machines, Plan, PortLease, Scratch, logs, process, wait};

/// A cluster starts, or heals, within this, on a busy machine of two cores.
pub const WHOLE_WITHIN: Duration = Duration::from_secs(90);

/// Nodes `n1`, `n2` and so on. On drop all their processes are killed, their logs are read
/// for errors that the test did not declare, and their directories are removed.
#[derive(Debug)]
pub struct Cluster {
    pub file: ClusterFile,
    pub(crate) nodes: Vec<Node>,
    pub(crate) binary: PathBuf,
    /// Parts of ERROR lines that the test provokes.
    pub(crate) expected: Mutex<Vec<String>>,
    pub(crate) scratch: Scratch,
    /// When every node has a machine of its own.
    pub(crate) machines: Option<Machines>,
    pub(crate) _lease: PortLease,
}

impl Cluster {
    /// Describes a cluster of `size` nodes that runs `binary`; integration tests of the package
    /// `howdah` pass `env!("CARGO_BIN_EXE_howdah")`.
    pub fn of(size: usize, binary: impl Into<PathBuf>) -> Setup {
        Setup::new(size, binary.into())
    }

    /// The node of that name.
    #[track_caller]
    pub fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).expect("a node of that name")
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Where Howdah keeps the cluster's files; of several machines, the first one's.
    pub fn base_dir(&self) -> PathBuf {
        self.nodes[0].base_dir.clone()
    }

    /// A directory of the test's own, beside the cluster's.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    pub fn file_path(&self) -> PathBuf {
        self.scratch.path().join("howdah.toml")
    }

    /// Rewrites the cluster file after a change of [`Cluster::file`].
    pub fn write_file(&self) {
        fs::write(self.file_path(), self.file.text()).expect("write the cluster file");
    }

    #[track_caller]
    pub fn start_all(&self) {
        for node in &self.nodes {
            self.join_if_new(node);
            node.start();
        }
    }

    /// Runs a verb of the binary with the cluster's file, to its end; of several machines, on
    /// the first that answers.
    #[track_caller]
    pub fn howdah(&self, arguments: &[&str]) -> Output {
        self.verb(arguments).output().expect("run `howdah`")
    }

    /// As [`Cluster::howdah`], while it runs.
    #[track_caller]
    pub fn howdah_begun(&self, arguments: &[&str]) -> Begun {
        Begun::of(&mut self.verb(arguments))
    }

    fn verb(&self, arguments: &[&str]) -> Command {
        let (verb, rest) = arguments.split_first().expect("a verb");
        let mut command = match &self.machines {
            Some(_) => self.answering().command(&self.binary),
            None => Command::new(&self.binary),
        };
        command.arg(verb).arg("-f").arg(self.file_path()).args(rest);
        command.stdin(Stdio::null());
        command
    }

    fn answering(&self) -> &Node {
        let answers = self.nodes.iter().find(|node| node.status().is_ok());
        answers.unwrap_or(&self.nodes[0])
    }

    /// As [`Cluster::howdah`]; it must succeed. Its standard output.
    #[track_caller]
    pub fn howdah_ok(&self, arguments: &[&str]) -> String {
        let output = self.howdah(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let code = output.status;
        assert!(code.success(), "`{arguments:?}`: {code}\n{out}{err}\n{}", self.seen());
        out
    }

    /// The node that says of itself that it is primary; the one of the highest term when an old
    /// one has not noticed yet.
    pub fn find_primary(&self) -> Option<&Node> {
        let says = |node: &&Node| {
            let own = node.own_status().ok()?;
            (own.state == ServerState::Primary).then_some(())
        };
        let mut primaries: Vec<&Node> =
            self.nodes.iter().filter(|node| says(node).is_some()).collect();
        primaries.sort_by_key(|node| node.status().map(|status| status.term).unwrap_or_default());
        primaries.pop()
    }

    #[track_caller]
    pub fn primary(&self) -> &Node {
        self.wait_for("a primary", WHOLE_WITHIN, || self.find_primary())
    }

    /// All nodes but the primary.
    #[track_caller]
    pub fn standbys(&self) -> Vec<&Node> {
        let primary = self.primary().name.clone();
        self.nodes.iter().filter(|node| node.name != primary).collect()
    }

    /// The cluster as its primary sees it.
    #[track_caller]
    pub fn status(&self) -> ClusterStatus {
        self.wait_for("a status", WHOLE_WITHIN, || self.find_primary()?.status().ok())
    }

    /// Waits for a primary other than `old`.
    #[track_caller]
    pub fn wait_for_other_primary(&self, old: &str, at_most: Duration) -> &Node {
        self.wait_for(&format!("a primary other than {old}"), at_most, || {
            self.find_primary().filter(|node| node.name != old)
        })
    }

    /// Waits until there is one primary and every other node streams from it; in quorum
    /// durability, until every standby counts again.
    #[track_caller]
    pub fn wait_whole(&self) {
        self.wait_for("the cluster is whole", WHOLE_WITHIN, || {
            self.amiss().is_none().then_some(())
        });
    }

    /// What keeps the cluster from being whole; `None` when it is.
    pub fn amiss(&self) -> Option<String> {
        let Some(primary) = self.find_primary() else { return Some("no primary".to_owned()) };
        let status = match primary.status() {
            Ok(status) => status,
            Err(error) => return Some(format!("{}: {error:#}", primary.name)),
        };
        self.amiss_by_themselves(primary).or_else(|| self.amiss_by_primary(primary, &status))
    }

    /// A node that was killed a moment ago still shines in the others' eyes.
    fn amiss_by_themselves(&self, primary: &Node) -> Option<String> {
        let wanted = |node: &Node, line: &NodeStatus| {
            is_witness(line) || line.state == state_of(node.name == primary.name)
        };
        let is_well = |node: &Node| node.own_status().is_ok_and(|line| wanted(node, &line));
        let other = self.nodes.iter().find(|node| !is_well(node))?;
        Some(format!("{} says of itself: {:?}", other.name, other.state()))
    }

    fn amiss_by_primary(&self, primary: &Node, status: &ClusterStatus) -> Option<String> {
        if status.nodes.len() != self.nodes.len() {
            return Some("a node is missing".to_owned());
        }
        status.nodes.iter().find_map(|line| {
            let is_primary = line.node.as_str() == primary.name;
            if let Some(problem) = line.problems.iter().find(|text| text.contains("its store:")) {
                return Some(format!("{}: {problem}", line.node));
            }
            if line.alive && is_witness(line) {
                return None;
            }
            if !line.alive || line.state != state_of(is_primary) {
                return Some(format!("{} is {:?}: {}", line.node, line.state, line.reason));
            }
            let exempt = line.member.as_ref().is_some_and(|member| member.no_sync);
            let counts = line.voter || is_primary || exempt || status.durability != "quorum";
            (!counts).then(|| format!("{} does not count yet", line.node))
        })
    }

    /// [`wait::until`] with the cluster as what was seen.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, at_most: Duration, look: impl FnMut() -> Option<T>) -> T {
        wait::until(what, at_most, look, || self.seen())
    }

    /// The whole cluster in words: every node's own line, and the ends of the logs.
    pub fn seen(&self) -> String {
        let mut seen = format!("amiss: {:?}\n", self.amiss());
        for node in &self.nodes {
            match node.status() {
                Ok(status) => {
                    let leader = &status.leader;
                    seen +=
                        &format!("{} sees term {}, leader {leader:?}\n", node.name, status.term);
                    for line in &status.nodes {
                        seen += &format!(
                            "    {} {:?} alive={} voter={} {:?} rule {} {}\n",
                            line.node,
                            line.state,
                            line.alive,
                            line.voter,
                            line.problems,
                            line.rule,
                            line.reason
                        );
                    }
                }
                Err(error) => {
                    let end = node.agent_end().map(|end| format!("; its agent: {end}"));
                    seen += &format!("{}: {error:#}{}\n", node.name, end.unwrap_or_default());
                }
            }
        }
        seen + &self.nodes.iter().map(|node| node.log_tail(25)).collect::<String>()
    }

    /// The password that Howdah made up for a role.
    #[track_caller]
    pub fn password(&self, role: &str) -> String {
        let path = self.base_dir().join("client/secrets").join(role);
        let text = fs::read_to_string(&path);
        text.unwrap_or_else(|error| panic!("read `{}`: {error}", path.display())).trim().to_owned()
    }

    /// Connections to each node's endpoint in turn, as a URL with several hosts makes them.
    #[track_caller]
    pub fn hosts(&self, port: impl Fn(&Ports) -> u16) -> Vec<Config> {
        let password = self.password("app");
        let host = |node: &Node| {
            let mut config = Config::new();
            config.host(node.host.to_string()).port(port(&node.ports)).user("app").dbname("app");
            config.password(&password);
            config
        };
        self.nodes.iter().map(host).collect()
    }

    /// A client of the `rw` endpoints.
    #[track_caller]
    pub fn plan(&self) -> Plan {
        Plan::to(self.hosts(|ports| ports.rw))
    }

    /// A client that goes straight to one node's server, past the endpoints.
    #[track_caller]
    pub fn plan_direct(&self, node: &Node) -> Plan {
        let at = self.nodes.iter().position(|each| each.name == node.name).expect("a node of it");
        Plan::to(vec![self.hosts(|ports| ports.postgres).swap_remove(at)])
    }

    /// Declares an ERROR that this test provokes: a part of its line.
    pub fn expect_error(&self, part: &str) {
        self.expected.lock().expect("nobody panics with it").push(part.to_owned());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let left = process::kill_all(|| process::working_on(self.scratch.path()));
        for node in &self.nodes {
            node.collect();
        }
        // A second panic would hide the first.
        if std::thread::panicking() {
            return;
        }
        assert!(left.is_empty(), "processes that do not die: {left:#?}");
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let undeclared = logs::undeclared(&self.nodes, &expected);
        assert!(undeclared.is_empty(), "undeclared errors in the logs:\n{undeclared}");
    }
}

fn is_witness(line: &NodeStatus) -> bool {
    line.member.as_ref().is_some_and(|member| member.witness)
}

/// What a node of a whole cluster is.
fn state_of(is_primary: bool) -> ServerState {
    if is_primary { ServerState::Primary } else { ServerState::Streaming }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A verb that runs.
#[derive(Debug)]
pub struct Begun(Child);

impl Begun {
    pub(crate) fn of(command: &mut Command) -> Begun {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Begun(child.expect("run `howdah`"))
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("a process id")
    }

    /// It does nothing for a while, and nothing of it is gone.
    pub fn freeze(&self) {
        process::signal(self.pid(), Signal::SIGSTOP);
    }

    pub fn thaw(&self) {
        process::signal(self.pid(), Signal::SIGCONT);
    }

    /// Waits until it ends.
    pub fn end(self) -> Output {
        self.0.wait_with_output().expect("it ran")
    }
}
