//! Three machines as network namespaces: each reaches the others by the network only, and none
//! has another's addresses.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use howdah_base::status::{ClusterStatus, NodeStatus};
use howdah_testkit::{Scratch, process, wait};

use crate::rig::{BINARY, text};

/// Names, in the order of machines.
pub const NODES: [&str; 3] = ["db1", "db2", "w"];
/// All of them, so that leftovers are recognised: `howdah-<pid of the test>-<machine>`.
const PREFIX: &str = "howdah-";
const WITHIN: Duration = Duration::from_secs(120);

/// A witness and two nodes with data, on a network of their own. On drop everything goes.
pub struct Machines {
    /// Of the namespaces; a fourth is the switch.
    prefix: String,
    children: Mutex<Vec<Child>>,
    pub scratch: Scratch,
}

impl Machines {
    /// `None` where this process may not make networks.
    pub fn new() -> Option<Machines> {
        let scratch = Scratch::new();
        sweep();
        let prefix = format!("{PREFIX}{}", std::process::id());
        let machines = Machines { prefix, children: Mutex::default(), scratch };
        machines.cable()?;
        fs::write(machines.path("howdah.toml"), machines.file()).expect("write the file");
        Some(machines)
    }

    fn cable(&self) -> Option<()> {
        let switch = self.space("switch");
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add br0 type bridge"))?;
        ip(&format!("-n {switch} link set br0 up"))?;
        for (at, node) in NODES.iter().enumerate() {
            let (space, port) = (self.space(node), format!("p{at}"));
            ip(&format!("netns add {space}"))?;
            ip(&format!("-n {space} link add eth0 type veth peer name {port} netns {switch}"))?;
            ip(&format!("-n {switch} link set {port} master br0 up"))?;
            ip(&format!("-n {space} addr add {}/24 dev eth0", address(node)))?;
            ip(&format!("-n {space} link set eth0 up"))?;
            ip(&format!("-n {space} link set lo up"))?;
        }
        Some(())
    }

    fn space(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn file(&self) -> String {
        let mut file = format!(
            "cluster = \"test\"\nbase_dir = {:?}\nstore = {{ etcd = {{ managed = true }} }}\n\
             [postgresql.parameters]\nshared_buffers = \"32MB\"\n",
            self.base("db1").display().to_string()
        );
        for node in NODES {
            let address = address(node);
            file += &format!(
                "[nodes.{node}]\nhost = \"{address}\"\nlisten = [\"{address}\", \"127.0.0.1\"]\n"
            );
            if node == "w" {
                file += "kind = \"witness\"\n";
            }
        }
        file
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The base directory of a machine.
    pub fn base(&self, node: &str) -> PathBuf {
        self.path(&format!("on-{node}"))
    }

    pub fn resolved(&self, node: &str) -> String {
        self.base(node).join("howdah.toml").display().to_string()
    }

    fn command(&self, on: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(on), program]);
        command.current_dir(self.scratch.path()).stdin(Stdio::null());
        command
    }

    /// Runs a program on one machine.
    pub fn on(&self, node: &str, program: &str, arguments: &[&str]) -> Output {
        self.command(node, program).args(arguments).output().expect("ip netns exec")
    }

    /// What a verb prints on one machine; it must succeed.
    #[track_caller]
    pub fn ok(&self, node: &str, arguments: &[&str]) -> String {
        let output = self.on(node, BINARY, arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{node}: {arguments:?}\n{out}{err}\n{}", self.seen());
        out
    }

    /// Starts a node on its machine.
    pub fn run(&self, node: &str) {
        let log = File::create(self.path(&format!("{node}.log"))).expect("make a log");
        let child = self
            .command(node, BINARY)
            .args(["run", "--node", node, "-f", &self.resolved(node)])
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn();
        self.children.lock().expect("lock").push(child.expect("start howdah run"));
    }

    /// The status as the command line gets it on one machine.
    pub fn status(&self, on: &str) -> Option<ClusterStatus> {
        let output = self.on(on, BINARY, &["status", "--json", "-f", &self.resolved(on)]);
        serde_json::from_slice(&output.stdout).ok()
    }

    pub fn line(&self, on: &str, node: &str) -> Option<NodeStatus> {
        self.status(on)?.nodes.into_iter().find(|line| line.node.as_str() == node)
    }

    #[track_caller]
    pub fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        wait::until(what, WITHIN, look, || self.seen())
    }

    pub fn seen(&self) -> String {
        let log = |name: &&str| {
            let log = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            format!("{name}:\n{}\n", lines[lines.len().saturating_sub(25)..].join("\n"))
        };
        let status = self.on("db1", BINARY, &["status", "-f", &self.resolved("db1")]);
        let logs: String = NODES.iter().map(log).collect();
        format!("{}{}\n{logs}", text(&status.stdout), text(&status.stderr))
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for child in self.children.get_mut().expect("lock") {
            child.kill().ok();
            child.wait().ok();
        }
        // What the nodes started works below the scratch directory; it goes with it. A namespace
        // without a process goes at once.
        for name in NODES.iter().chain(["switch"].iter()) {
            ip(&format!("netns del {}", self.space(name)));
        }
    }
}

/// A machine's address on the network of the test.
pub fn address(node: &str) -> String {
    let at = NODES.iter().position(|name| *name == node).expect("a machine");
    format!("10.77.0.{}", at + 1)
}

/// Removes the namespaces of tests that were killed and could not do it themselves.
fn sweep() {
    let Ok(listed) = Command::new("ip").args(["netns", "list"]).output() else { return };
    for line in text(&listed.stdout).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
        let owner = owner.and_then(|(pid, _)| pid.parse().ok());
        if owner.is_some_and(|pid| !process::is_alive(pid)) {
            ip(&format!("netns del {name}"));
        }
    }
}

fn ip(words: &str) -> Option<()> {
    let done = Command::new("ip").args(words.split(' ')).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success()).then_some(())
}
