//! Several machines on one: each a network namespace with an address of its own, all on one
//! switch, and cables that a test cuts.
//!
//! ```text
//!    db1 10.77.0.1   db2 10.77.0.2   db3 10.77.0.3    desk 10.77.0.250
//!        eth0            eth0            eth0              eth0
//!          └───────────────┴─── switch ───┴─────────────────┘   (a bridge in a namespace)
//! ```
//!
//! The test itself sits at the desk: its thread, and every thread and process that it starts
//! from then on, uses the desk's network and no other, so nothing of a test can reach a real
//! one. Every test has its own switch, so all use the same addresses.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

pub use cable::Cables;
pub use machine::{Machine, Space};

use crate::process;

mod cable;
mod cluster;
mod machine;
#[cfg(test)]
mod tests;

/// All of them, so that leftovers are recognised: `howdah-<pid of the test>-<n>-<machine>`.
const PREFIX: &str = "howdah-";
const DESK: &str = "desk";
/// The last byte of its address.
const DESK_NUMBER: u8 = 250;

/// Machines and their network. On drop every process in them is killed, the network is gone,
/// and the calling thread is back where it was.
#[derive(Debug)]
pub struct Machines {
    machines: Vec<Machine>,
    desk: Machine,
    switch: Space,
    home: File,
}

impl Machines {
    /// `None` where this process may not make networks, which is for root. The calling thread
    /// moves to the desk.
    #[must_use]
    pub fn new(names: &[&str]) -> Option<Machines> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        sweep();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{PREFIX}{}-{number}-", std::process::id());
        let space = |name: &str| Space::add(&format!("{prefix}{name}"));
        let switch = space("switch")?;
        switch.ip("link add br0 type bridge");
        switch.ip("link set br0 up");
        let plug = |name: &str, number: u8| {
            let (space, port) = (space(name)?, format!("p{number}"));
            let address = Ipv4Addr::new(10, 77, 0, number);
            let to = switch.name();
            space.ip(&format!("link add eth0 type veth peer name {port} netns {to}"));
            switch.ip(&format!("link set {port} master br0 up"));
            space.ip(&format!("addr add {address}/24 dev eth0"));
            space.ip("link set eth0 up");
            space.ip("link set lo up");
            Some(Machine::new(name, address, &port, space))
        };
        let machines = names.iter().zip(1..).map(|(name, number)| plug(name, number));
        let machines = machines.collect::<Option<Vec<_>>>()?;
        let desk = plug(DESK, DESK_NUMBER)?;
        let home = File::open("/proc/thread-self/ns/net").expect("the network of this thread");
        let made = Machines { machines, desk, switch, home };
        made.sit_down();
        Some(made)
    }

    /// The machine of that name.
    #[track_caller]
    pub fn machine(&self, name: &str) -> &Machine {
        self.all().find(|machine| machine.name == name).expect("a machine of that name")
    }

    /// All but the desk, in the order of their names at the start.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    fn all(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().chain([&self.desk])
    }

    pub fn desk(&self) -> &Machine {
        &self.desk
    }

    /// Moves the calling thread to the desk, for who looks after several networks in turn.
    pub fn sit_down(&self) {
        self.desk.space().enter();
    }

    /// What lies between the machines, to be cut and healed.
    pub fn cables(&self) -> Cables<'_> {
        Cables::new(self, &self.switch)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        nix::sched::setns(&self.home, nix::sched::CloneFlags::CLONE_NEWNET).ok();
        let left =
            process::kill_all(|| self.machines.iter().flat_map(Machine::processes).collect());
        for machine in self.all() {
            machine.space().delete();
        }
        self.switch.delete();
        if !std::thread::panicking() {
            assert!(left.is_empty(), "processes that do not die: {left:#?}");
        }
    }
}

/// Takes networks away whose test is gone: it was killed and could not do it itself.
fn sweep() {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
        let owner = owner.and_then(|(pid, _)| pid.parse::<i32>().ok());
        if owner.is_some_and(|pid| !process::is_alive(pid)) {
            let space = Space::named(&name);
            process::kill_all(|| space.processes());
            space.delete();
        }
    }
}

/// Whether `ip` does it.
fn ip(words: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(words.split(' ')).stderr(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
