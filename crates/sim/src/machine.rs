//! What befalls a whole machine or its disk: suspended, frozen, stalled, full, slow.

use crate::effect::Effect;
use crate::event::{Event, ForAgent, ForServer};
use crate::world::World;

/// What ails a machine, each until a true time in ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ailments {
    /// No process runs; the boot-time clock goes on.
    pub suspended: u64,
    /// The guard does nothing.
    pub guard_frozen: u64,
    /// Nothing is written to the disk.
    pub stalled: u64,
    /// Nothing can be written any more.
    pub full: u64,
    /// Hardly any room is left: the reserve was given up, and a server there can go on.
    pub filling: u64,
    /// A server takes long to start.
    pub slow_start: u64,
    /// Changes of the store are not noticed.
    pub unwatched: u64,
}

/// A machine that was suspended, or whose guard was, ends what it must within this, ms.
const AWAKE_MS: u64 = 1_000;
/// A start of a server that is slow takes so much longer, ms.
const SLOW_START_MS: u64 = 12_000;
/// A disk that stalls is tried again after this, ms.
const STALLED_MS: u64 = 50;

impl World {
    /// An event of a machine that stands still waits until it goes on. Answers whether it does.
    pub(crate) fn stands_still(&mut self, event: Event) -> Option<Event> {
        let node = match &event {
            Event::Agent { node, .. } | Event::Server { node, .. } | Event::Guard { node } => *node,
            _ => return Some(event),
        };
        let ails = self.nodes[node].ails;
        let guard = matches!(event, Event::Guard { .. });
        let until = if guard { ails.suspended.max(ails.guard_frozen) } else { ails.suspended };
        if until <= self.now {
            return Some(event);
        }
        let then = self.nodes[node].clock.local(until);
        let past = self.nodes[node].deadline.is_some_and(|deadline| then >= deadline);
        match guard {
            false => self.effects.note(Effect::MachineSuspended),
            true if past => self.effects.note(Effect::GuardFrozen),
            true => {}
        }
        self.queue.push(until, event);
        None
    }

    /// Its guard could not act at the deadline, and gets a moment to do it: until then only the
    /// voters protect what is acknowledged.
    pub(crate) fn unguarded(&self, node: usize) -> bool {
        let ails = self.nodes[node].ails;
        let still = ails.suspended.max(ails.guard_frozen);
        still > 0 && self.now <= still + AWAKE_MS
    }

    pub(crate) fn is_suspended(&self, node: usize) -> bool {
        self.nodes[node].ails.suspended > self.now
    }

    /// Postpones what needs the disk. Answers whether it was.
    pub(crate) fn disk_stalls(&mut self, node: usize, what: ForServer) -> Option<ForServer> {
        let writes = matches!(
            what,
            ForServer::Ready | ForServer::Flushed | ForServer::Promoted | ForServer::Checkpointed
        );
        if !writes || self.nodes[node].ails.stalled <= self.now {
            return Some(what);
        }
        self.effects.note(Effect::DiskStalled);
        self.after_server(node, STALLED_MS, what);
        None
    }

    pub(crate) fn disk_is_stalled(&mut self, node: usize) -> bool {
        let stalled = self.nodes[node].ails.stalled > self.now;
        if stalled {
            self.effects.note(Effect::DiskStalled);
        }
        stalled
    }

    /// PANIC: a server that cannot write its WAL ends. Answers whether it did.
    pub(crate) fn panics(&mut self, node: usize) -> bool {
        let full = self.disk_is_full(node);
        if full {
            self.effects.note(Effect::DiskFull);
            self.say(|w| format!("{}: PANIC: no space left on device", w.nodes[node].name));
            self.count_crash(node);
            self.server_gone(node);
        }
        full
    }

    pub(crate) fn disk_is_full(&self, node: usize) -> bool {
        self.nodes[node].ails.full > self.now
    }

    pub(crate) fn start_ms(&mut self, node: usize) -> u64 {
        let recovery = self.step_ms(50, 600);
        if self.nodes[node].ails.slow_start <= self.now {
            return recovery;
        }
        self.effects.note(Effect::SlowStart);
        recovery + self.rng.between(SLOW_START_MS / 4, SLOW_START_MS)
    }

    /// PDEATHSIG: PostgreSQL ends with its guard; the next agent or start makes another.
    pub(crate) fn kill_guard(&mut self, node: usize) {
        if self.nodes[node].server.is_some() {
            self.effects.note(Effect::GuardKilled);
            let delay = self.rng.between(1, 20);
            self.after_server(node, delay, ForServer::Gone);
        }
    }

    /// Whether the agent of `node` looks at what has changed.
    pub(crate) fn notices(&mut self, node: usize, what: &ForAgent) -> bool {
        let looks = matches!(what, ForAgent::Changed | ForAgent::Poll);
        let blind = looks && self.nodes[node].ails.unwatched > self.now;
        if blind && matches!(what, ForAgent::Changed) {
            self.effects.note(Effect::StalePicture);
        }
        !blind
    }
}
