//! What a node knows of its own body, as crates/agent/src/{pulse,disk,attempts}.rs find it out:
//! whether its server answers, what its disk is fit for, how often it has been mended.

use std::time::Duration;

use howdah_base::Tick;
use howdah_ha::{Attempts, Disk, Local, Rule};

use crate::effect::Effect;
use crate::event::ForServer;
use crate::world::World;

/// A server that gives no sign of life for this long hangs.
pub(crate) const HUNG_AFTER: Duration = Duration::from_secs(4);
/// A write that waits for this long is on a stalled disk.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(3);
/// A standby that has streamed for this long is mended.
const MENDED_AFTER: Duration = Duration::from_secs(30);
/// Crashes that are remembered.
const CRASHES_MAX: usize = 10;

/// What the agent remembers of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    /// Since when its server has given no sign of life.
    pub silent_since: Option<Tick>,
    /// Since when a write has been waiting for the disk.
    pub stalled_since: Option<Tick>,
    /// Since when its directory has been a streaming standby.
    pub well_since: Option<Tick>,
}

impl World {
    /// Looks at the body whenever the agent decides.
    pub(crate) fn feel(&mut self, node: usize, now: Tick, local: &mut Local) {
        self.note_mended(node, now);
        let machine = &self.nodes[node];
        let ails = machine.ails;
        let hangs = machine.server.as_ref().is_some_and(|server| server.hung_until > self.now);
        let stalls = ails.stalled > self.now;
        let full = ails.full.max(ails.filling) > self.now;
        local.attempts = machine.disk.attempts.clone();
        local.wal_gone = machine.server.is_some() && self.lacks_wal(node);
        let body = &mut self.agent(node).body;
        body.silent_since = hangs.then(|| body.silent_since.unwrap_or(now));
        body.stalled_since = stalls.then(|| body.stalled_since.unwrap_or(now));
        local.silent_for = body.silent_since.map_or(Duration::ZERO, |since| now.since(since));
        local.disk = Disk {
            stalled: body.stalled_since.map(|since| now.since(since)),
            broken: None,
            full: full.then(|| "no room is left".to_owned()),
        };
    }

    /// The WAL that the directory needs is gone from wherever it could come from.
    pub(crate) fn lacks_wal(&self, node: usize) -> bool {
        self.nodes[node].disk.data.as_ref().is_some_and(|data| data.wal_gone)
    }

    /// SIGSTOP to the postmaster: sessions that are open go on, nobody else is let in.
    pub(crate) fn hang_postmaster(&mut self, node: usize, until: u64) {
        if let Some(server) = &mut self.nodes[node].server {
            server.hung_until = until;
            self.effects.note(Effect::PostmasterHung);
        }
    }

    /// A standby's slot was given up while it was away.
    pub(crate) fn lose_wal(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        let standby = machine.server.as_mut().filter(|server| server.receiver.is_some());
        let Some((server, data)) = standby.zip(machine.disk.data.as_mut()) else { return };
        data.wal_gone = true;
        let receiver = server.receiver.take();
        if let Some(conn) = receiver {
            self.close_end(conn, node);
        }
        self.effects.note(Effect::WalGone);
        self.after_server(node, 1, ForServer::Upstream);
    }

    pub(crate) fn count_crash(&mut self, node: usize) {
        let now = self.nodes[node].clock.wall(self.now);
        let machine = &mut self.nodes[node];
        if machine.accepts_writes() {
            let crashes = &mut machine.disk.attempts.crashes;
            crashes.push(now);
            crashes.drain(..crashes.len().saturating_sub(CRASHES_MAX));
        }
    }

    /// Counted before it is begun.
    pub(crate) fn count_attempt(&mut self, node: usize, count: fn(&mut Attempts) -> &mut u32) {
        let now = self.nodes[node].clock.wall(self.now);
        let attempts = &mut self.nodes[node].disk.attempts;
        *count(attempts) += 1;
        attempts.last_unix_ms = now;
    }

    fn note_mended(&mut self, node: usize, now: Tick) {
        let agent = self.agent(node);
        let streams = agent.decision.as_ref().is_some_and(|d| d.reason.rule == Rule::Standby);
        agent.body.well_since = streams.then(|| agent.body.well_since.unwrap_or(now));
        if agent.body.well_since.is_some_and(|since| now.since(since) >= MENDED_AFTER) {
            let attempts = &mut self.nodes[node].disk.attempts;
            (attempts.rewinds, attempts.copies) = (0, 0);
        }
    }
}
