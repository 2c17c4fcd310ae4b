//! The guard: outlives the agent, and leaves no process of the instance behind at the deadline.

use howdah_base::Tick;

use crate::Planted;
use crate::event::{Event, ForServer};
use crate::node::{KILL_BEFORE, QUIT_BEFORE};
use crate::world::World;

impl World {
    /// Looks at the clock of its node; may come too early, never too late.
    pub(crate) fn guard(&mut self, node: usize) {
        let machine = &self.nodes[node];
        let Some(deadline) = machine.deadline.filter(|_| machine.server.is_some()) else { return };
        if self.planted.has(Planted::NoFence) {
            return;
        }
        if self.local(node) < deadline - QUIT_BEFORE {
            self.guard_wakes(node);
            return;
        }
        self.say(|w| format!("{}: the guard fences", w.nodes[node].name));
        let left = self.local(node).until(deadline - KILL_BEFORE / 3).as_millis() as u64;
        let delay = self.rng.between(left.min(5), left);
        self.after_server(node, delay, ForServer::Gone);
    }

    pub(crate) fn guard_wakes(&mut self, node: usize) {
        let machine = &self.nodes[node];
        if let Some(deadline) = machine.deadline {
            let at = machine.clock.truly(deadline - QUIT_BEFORE, self.now);
            self.queue.push(at, Event::Guard { node });
        }
    }

    /// A later deadline; refused once the fence has begun.
    pub(crate) fn extend(&mut self, node: usize, deadline: Tick) -> Result<(), String> {
        let now = self.local(node);
        let machine = &mut self.nodes[node];
        if machine.server.is_none() {
            return Err("nothing runs".to_owned());
        }
        if machine.ails.guard_frozen > self.now {
            return Err("the guard does not answer".to_owned());
        }
        if machine.deadline.is_some_and(|before| now >= before - QUIT_BEFORE) {
            return Err("the fence has begun".to_owned());
        }
        let first = machine.deadline.is_none();
        machine.deadline = machine.deadline.max(Some(deadline));
        if first {
            self.guard_wakes(node);
        }
        Ok(())
    }

    /// SIGKILL to every process, until none is left.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(server) = &mut self.nodes[node].server {
            server.orphaned = true;
            let delay = self.rng.between(5, 60);
            self.after_server(node, delay, ForServer::Gone);
        }
    }
}
