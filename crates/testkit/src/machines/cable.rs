//! What a test does to the network: packets that vanish, in one direction or both, and cables
//! that are pulled. Nobody is told, as when a switch fails: no reset, no "unreachable".

use super::{Machine, Machines, Space};

/// Nobody has this address, so what is sent to it ends in the switch.
const NOBODY: &str = "02:00:00:00:00:00";

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

    #[track_caller]
    fn machine(&self, name: &str) -> &'m Machine {
        self.machines.machine(name)
    }
}
