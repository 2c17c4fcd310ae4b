//! One machine: its clock, its disk, its server with the guard, its agent.

use std::time::Duration;

use howdah_base::{NodeName, Tick};

use crate::agent::Agent;
use crate::disk::Disk;
use crate::machine::Ailments;
use crate::server::Server;

#[derive(Debug)]
pub(crate) struct Node {
    pub name: NodeName,
    pub clock: Clock,
    /// The host runs.
    pub up: bool,
    pub disk: Disk,
    pub server: Option<Server>,
    /// Until when the instance may write, as the guard was told.
    pub deadline: Option<Tick>,
    /// Until when it may write by what others have promised.
    pub grace_until: Option<Tick>,
    pub agent: Option<Agent>,
    /// Counts agents and servers, so that what was meant for an earlier one is dropped.
    pub incarnation: u64,
    pub epoch: u64,
    /// The store does not answer this node as long as this is above zero.
    pub store_cuts: u32,
    pub ails: Ailments,
}

/// By how much the time of day of two machines differs at most, ms.
const WALL_SKEW_MS: u64 = 2_000;

/// CLOCK_BOOTTIME of one machine, against the true time in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub offset: u64,
    pub drift_ppm: i64,
    /// By how much the time of day has been set forward or back, ms.
    pub wall_jump: i64,
}

impl Clock {
    pub fn local(&self, now: u64) -> Tick {
        let drift = i64::try_from(now).unwrap_or(i64::MAX) / 1_000 * self.drift_ppm / 1_000;
        Tick((self.offset + now).saturating_add_signed(drift))
    }

    /// What this machine takes for the time of day, in ms.
    pub fn wall(&self, now: u64) -> u64 {
        (now + self.offset % WALL_SKEW_MS).saturating_add_signed(self.wall_jump)
    }

    /// The true time at which this clock shows at least `at`.
    pub fn truly(&self, at: Tick, now: u64) -> u64 {
        let left = self.local(now).until(at);
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let slow = left * 1_000_000 / (1_000_000_u64.saturating_add_signed(self.drift_ppm));
        now + slow + u64::from(left > 0)
    }
}

/// What the guard makes of the deadline before it: time for the end of the instance.
pub(crate) const QUIT_BEFORE: Duration = Duration::from_millis(700);
pub(crate) const KILL_BEFORE: Duration = Duration::from_millis(300);

impl Node {
    pub fn server(&self, epoch: u64) -> Option<&Server> {
        self.server.as_ref().filter(|server| server.epoch == epoch)
    }

    /// Whether commits may be acknowledged here, now or after a wait.
    pub fn accepts_writes(&self) -> bool {
        self.server.as_ref().is_some_and(Server::accepts_writes)
    }
}
