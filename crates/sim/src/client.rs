//! Clients that write numbered rows, one transaction after the other, wherever a server lets
//! them in; and what they were told.

use crate::effect::Effect;
use crate::event::Event;
use crate::world::World;

/// One session at a time.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Node and epoch of the server that it is connected to.
    session: Option<(usize, u64)>,
    /// The row that it waits for, and since when.
    pub waits: Option<(u64, u64)>,
}

/// A client that gets no answer gives its session up, ms.
const PATIENCE_MS: u64 = 15_000;

impl World {
    pub(crate) fn client(&mut self, client: usize) {
        let pause = self.rng.between(5, self.plan.pause_ms);
        self.queue.push(self.now + pause, Event::Client(client));
        let lives = self.clients[client].session.is_some_and(|(node, epoch)| {
            self.nodes[node].server(epoch).is_some_and(|s| s.accepts_writes())
        });
        if !lives {
            self.clients[client].session = self.server_that_lets_in();
            self.clients[client].waits = None;
        }
        if let Some((_, since)) = self.clients[client].waits {
            if self.now < since + PATIENCE_MS {
                return;
            }
            self.clients[client] = Client::default();
            return;
        }
        let Some((node, _)) = self.clients[client].session else { return };
        if self.is_suspended(node) {
            return;
        }
        if self.nodes[node].server.as_ref().is_some_and(|server| server.orphaned) {
            self.effects.note(Effect::BackendWentOn);
        }
        self.rows += 1;
        let row = self.rows;
        self.clients[client].waits = Some((row, self.now));
        self.insert(node, Some(row));
    }

    fn server_that_lets_in(&mut self) -> Option<(usize, u64)> {
        let first = self.rng.index(self.nodes.len());
        let nodes = (0..self.nodes.len()).map(|n| (n + first) % self.nodes.len());
        let mut open = nodes.filter(|node| {
            let server = self.nodes[*node].server.as_ref();
            server.is_some_and(|s| s.accepts_writes() && s.answers() && s.gate_open)
        });
        open.next().map(|node| (node, self.nodes[node].epoch))
    }
}
