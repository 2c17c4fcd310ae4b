//! What a test does to the network: packets that vanish, in one direction or both, and cables
//! that are pulled. Nobody is told, as when a switch fails: no reset, no "unreachable".

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Machine, Machines, Space};

/// Nobody has this address, so what is sent to it ends in the switch.
const NOBODY: &str = "02:00:00:00:00:00";

/// Nobody listens there: "discard".
const PORT_OF_NOBODY: u16 = 9;
/// Between machines that reach each other it takes less than a millisecond.
const ANSWERED_WITHIN: Duration = Duration::from_millis(700);

/// The network of [`Machines`].
#[derive(Debug)]
pub struct Cables<'m> {
    machines: &'m Machines,
    switch: &'m Space,
}

impl<'m> Cables<'m> {
    pub(super) fn new(machines: &'m Machines, switch: &'m Space) -> Cables<'m> {
        Cables { machines, switch }
    }

    /// What `from` sends to `to` vanishes; the other direction works. Connections that are open
    /// are cut like new ones.
    #[track_caller]
    pub fn cut_one_way(&self, from: &str, to: &str) {
        let (from, to) = (self.machine(from), self.machine(to));
        let entry = format!("neigh replace {} lladdr {NOBODY} nud permanent dev eth0", to.address);
        from.space().ip(&entry);
    }

    /// Nothing passes between the two.
    #[track_caller]
    pub fn cut(&self, one: &str, other: &str) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Undoes [`Cables::cut`] or [`Cables::cut_one_way`] in both directions.
    #[track_caller]
    pub fn heal(&self, one: &str, other: &str) {
        for (from, to) in [(one, other), (other, one)] {
            let (from, to) = (self.machine(from), self.machine(to));
            // Gone already when it was not cut this way.
            super::ip(&format!("-n {} neigh del {} dev eth0", from.space().name(), to.address));
        }
    }

    /// Cuts `name` from every other machine, both ways; only the desk still reaches it.
    #[track_caller]
    pub fn isolate(&self, name: &str) {
        for other in self.others(name) {
            self.cut(name, &other.name);
        }
    }

    /// Undoes all cuts of `name`.
    #[track_caller]
    pub fn rejoin(&self, name: &str) {
        for other in self.others(name) {
            self.heal(name, &other.name);
        }
    }

    fn others(&self, name: &str) -> impl Iterator<Item = &'m Machine> {
        self.machines.machines().iter().filter(move |machine| machine.name != name)
    }

    /// Pulls the machine's cable out of the switch: dark for everyone, the desk too.
    #[track_caller]
    pub fn go_dark(&self, name: &str) {
        self.switch.ip(&format!("link set {} down", self.machine(name).port));
    }

    /// Puts the cable back.
    #[track_caller]
    pub fn come_back(&self, name: &str) {
        self.switch.ip(&format!("link set {} up", self.machine(name).port));
    }

    /// Whether a connection from one to the other is answered, be it by a refusal. A cut shows as
    /// silence, in whichever direction it is.
    pub fn reaches(&self, from: &str, to: &str) -> bool {
        let to = SocketAddr::from((self.machine(to).address, PORT_OF_NOBODY));
        let tried =
            self.machine(from).space().inside(|| TcpStream::connect_timeout(&to, ANSWERED_WITHIN));
        tried.map_or_else(|error| error.kind() == ErrorKind::ConnectionRefused, |_| true)
    }

    /// What the machine sends from now on goes slowly: `kilobits` a second.
    pub fn slow_down(&self, name: &str, kilobits: u32) -> bool {
        // What waits in the queue for longer than this is thrown away and sent again.
        let queue = "burst 16kbit latency 2000ms";
        self.tc(name, &format!("qdisc replace dev eth0 root tbf rate {kilobits}kbit {queue}"))
            .is_some()
    }

    /// How often a packet had to wait since the machine was slowed down.
    pub fn held_back(&self, name: &str) -> u64 {
        let said = self.tc(name, "-s qdisc show dev eth0").unwrap_or_default();
        let (_, rest) = said.split_once("overlimits ").unwrap_or_default();
        rest.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    /// Undoes [`Cables::slow_down`].
    pub fn speed_up(&self, name: &str) {
        self.tc(name, "qdisc del dev eth0 root");
    }

    fn tc(&self, name: &str, words: &str) -> Option<String> {
        let mut command = self.machine(name).command("tc");
        let output = command.args(words.split(' ')).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[track_caller]
    fn machine(&self, name: &str) -> &'m Machine {
        self.machines.machine(name)
    }
}
