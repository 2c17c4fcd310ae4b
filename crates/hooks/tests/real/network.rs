//! Network namespaces as machines on one wire: `a` and `b` may hold the virtual IP, `c` is a
//! client that never moves.
//!
//! ```text
//!   a eth0 ──┐
//!            ├── bridge of c, which has an address of its own on it
//!   b eth0 ──┘
//! ```

use std::process::{Child, Command, Stdio};

use howdah_testkit::process;
use nix::sys::signal::Signal;

/// Removed with everything in them when the test ends.
pub struct Network {
    prefix: String,
    children: Vec<Child>,
}

const PREFIX: &str = "howdah-hooks-";

impl Network {
    /// Needs root: without it these tests fail, as there is nothing else that they could show.
    pub fn new() -> Network {
        assert!(nix::unistd::geteuid().is_root(), "network namespaces need root");
        sweep();
        let network = Network {
            // One test a process, or several one after the other: told apart by the thread.
            prefix: format!("{PREFIX}{}-{}", std::process::id(), nix::unistd::gettid()),
            children: Vec::new(),
        };
        for machine in ["a", "b", "c"] {
            ip(&["netns", "add", &network.name(machine)]);
            network.ip(machine, "link set lo up");
        }
        network.ip("c", "link add br0 type bridge forward_delay 0");
        network.ip("c", "link set br0 up");
        network.ip("c", "address add 10.77.0.1/24 dev br0");
        network.ip("c", "address add fd77::1/64 dev br0 nodad");
        for (machine, number) in [("a", 2), ("b", 3)] {
            let far = network.name(machine);
            let pair = format!("link add to-{machine} type veth peer name eth0 netns {far}");
            network.ip("c", &pair);
            network.ip("c", &format!("link set to-{machine} master br0 up"));
            network.ip(machine, "link set eth0 up");
            network.ip(machine, &format!("address add 10.77.0.{number}/24 dev eth0"));
            network.ip(machine, &format!("address add fd77::{number}/64 dev eth0 nodad"));
        }
        network
    }

    pub fn name(&self, machine: &str) -> String {
        format!("{}-{machine}", self.prefix)
    }

    /// `ip` on a machine; its output.
    pub fn ip(&self, machine: &str, words: &str) -> String {
        let name = self.name(machine);
        let mut all = vec!["-n", &name];
        all.extend(words.split_whitespace());
        ip(&all)
    }

    /// A program on a machine; its process id is its own.
    pub fn start(&mut self, machine: &str, program: &str, words: &[String]) -> i32 {
        let child = Command::new("ip")
            .args(["netns", "exec", &self.name(machine), program])
            .args(words)
            .stdin(Stdio::null())
            .spawn()
            .expect("ip netns exec");
        let pid = i32::try_from(child.id()).expect("a pid");
        self.children.push(child);
        pid
    }

    /// Whether `machine` has the address, and its line.
    pub fn address(&self, machine: &str, address: &str) -> Option<String> {
        let all = self.ip(machine, "-oneline address show dev eth0");
        let is_it = |line: &&str| {
            line.split_whitespace().any(|word| word.starts_with(&format!("{address}/")))
        };
        all.lines().find(is_it).map(str::to_owned)
    }

    pub fn has(&self, machine: &str, address: &str) -> bool {
        self.address(machine, address).is_some()
    }

    /// The hardware address of a machine.
    pub fn mac(&self, machine: &str) -> String {
        let text = self.ip(machine, "-oneline link show dev eth0");
        word_after(&text, "link/ether").expect("a hardware address")
    }

    /// Which hardware address the client believes `address` to have.
    pub fn believed(&self, address: &str) -> Option<String> {
        word_after(&self.ip("c", &format!("neighbour show {address}")), "lladdr")
    }

    /// The client sends something there, so that it asks who has it.
    pub fn knock(&self, address: &str) {
        let knock = format!("echo knock > /dev/udp/{address}/9");
        let mut words = vec!["netns", "exec"];
        let name = self.name("c");
        words.extend([name.as_str(), "bash", "-c", &knock]);
        // Nobody listens there, and that does not matter.
        Command::new("ip").args(&words).stderr(Stdio::null()).status().expect("bash");
    }

    /// Takes the status of those that have ended.
    pub fn has_ended(&mut self, pid: i32) -> bool {
        let ours = |child: &&mut Child| i32::try_from(child.id()) == Ok(pid);
        let child = self.children.iter_mut().find(ours).expect("one of ours");
        child.try_wait().expect("a status").is_some()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().ok();
            child.wait().ok();
        }
        for machine in ["a", "b", "c"] {
            delete(&self.name(machine));
        }
    }
}

fn ip(words: &[&str]) -> String {
    let output = Command::new("ip").args(words).output().expect("ip");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {error}", words.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// With whatever still runs in it.
fn delete(name: &str) {
    let inside = Command::new("ip").args(["netns", "pids", name]).output().expect("ip");
    let pids = String::from_utf8_lossy(&inside.stdout).into_owned();
    for pid in pids.lines().filter_map(|line| line.trim().parse().ok()) {
        process::signal(pid, Signal::SIGKILL);
    }
    Command::new("ip").args(["netns", "delete", name]).status().ok();
}

/// Namespaces of tests that were killed.
fn sweep() {
    let listed = ip(&["netns", "list"]);
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
        let owner = owner.and_then(|(pid, _)| pid.parse().ok());
        if owner.is_some_and(|pid| !process::is_alive(pid)) {
            delete(name);
        }
    }
}

fn word_after(text: &str, word: &str) -> Option<String> {
    let mut words = text.split_whitespace().skip_while(|found| *found != word);
    words.nth(1).map(str::to_owned)
}
