//! One hook's calls: one at a time, the newest of a topic wins, failures are repeated. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use howdah_base::Tick;
use serde::{Deserialize, Serialize};

use super::standing::{Standing, standing};
use crate::firing::Firing;
use crate::seen::Seen;

/// Firings that one hook may have open; the oldest that waits makes room.
pub const QUEUE_MAX: usize = 32;
/// Pause before the second attempt; doubled before each further one.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// The firings that one hook has not yet been told of to the end. The journal keeps them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Queue {
    entries: VecDeque<Entry>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Entry {
    firing: Firing,
    /// Attempts that failed.
    failed: u32,
    #[serde(skip)]
    phase: Phase,
}

/// An agent that starts finds everything waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// For its turn, and not before this moment.
    Waiting(Tick),
    Running,
    /// Told to end; it has not said yet that it has.
    Killed {
        again: bool,
    },
}

impl Default for Phase {
    fn default() -> Phase {
        Phase::Waiting(Tick(0))
    }
}

/// Why a firing is not told any more, or not now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// A newer firing of its topic has come.
    Superseded,
    /// What it says is not so any more.
    Outdated,
    /// What it says is not so now.
    Halted,
    /// More than [`QUEUE_MAX`] were open.
    TooMany,
}

/// What became of a firing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The running attempt is to be ended, with everything that it started.
    Kill { id: String, why: Why },
    /// Taken from the queue without an attempt.
    Dropped { id: String, why: Why },
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Succeeded,
    /// Why, in words.
    Failed(String),
    /// By [`Step::Kill`].
    Killed,
}

/// What follows from an attempt's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    Done,
    /// After this pause.
    Again {
        after: Duration,
    },
    GaveUp {
        attempts: u32,
    },
    /// It was killed, and is tried again when what it says is so again.
    Halted,
    /// It was killed, for good.
    Dropped,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Firings not yet told to the end, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.firing.id.as_str())
    }

    /// Something newer of this topic has happened, whether or not this hook is told of it.
    pub fn supersede(&mut self, newer: &Firing) -> Vec<Step> {
        let Some(topic) = newer.topic() else { return Vec::new() };
        let replaced = |entry: &Entry| entry.firing.topic().as_ref() == Some(&topic);
        self.weed(|entry| replaced(entry).then_some(Why::Superseded))
    }

    /// Takes a new firing in.
    pub fn offer(&mut self, firing: Firing) -> Option<Step> {
        let mut dropped = None;
        if self.entries.len() >= QUEUE_MAX {
            let waits = |entry: &Entry| matches!(entry.phase, Phase::Waiting(_));
            let oldest = self.entries.iter().position(waits);
            let oldest = oldest.and_then(|oldest| self.entries.remove(oldest));
            dropped = oldest.map(|entry| Step::Dropped { id: entry.firing.id, why: Why::TooMany });
        }
        self.entries.push_back(Entry { firing, failed: 0, phase: Phase::default() });
        dropped
    }

    /// Ends what does not hold any more.
    pub fn review(&mut self, seen: &Seen) -> Vec<Step> {
        self.weed(|entry| match standing(&entry.firing, seen) {
            Standing::Gone => Some(Why::Outdated),
            Standing::Halted => Some(Why::Halted),
            Standing::Holds | Standing::Unsure => None,
        })
    }

    fn weed(&mut self, judge: impl Fn(&Entry) -> Option<Why>) -> Vec<Step> {
        let mut steps = Vec::new();
        self.entries.retain_mut(|entry| {
            let Some(why) = judge(entry) else { return true };
            let id = entry.firing.id.clone();
            match entry.phase {
                Phase::Running => {
                    entry.phase = Phase::Killed { again: why == Why::Halted };
                    steps.push(Step::Kill { id, why });
                }
                Phase::Killed { again } => {
                    entry.phase = Phase::Killed { again: again && why == Why::Halted };
                }
                Phase::Waiting(_) if why == Why::Halted => {}
                Phase::Waiting(_) => {
                    steps.push(Step::Dropped { id, why });
                    return false;
                }
            }
            true
        });
        steps
    }

    /// Whether [`Queue::next`] would begin something.
    pub fn is_due(&self, seen: &Seen, now: Tick) -> bool {
        self.candidate(seen, now).is_some()
    }

    /// The attempt to begin now, if any, with its number. One that waits after a failure lets
    /// those behind it pass: they concern something else.
    pub fn next(&mut self, seen: &Seen, now: Tick) -> Option<(Firing, u32)> {
        let candidate = self.candidate(seen, now)?;
        let entry = self.entries.get_mut(candidate)?;
        entry.phase = Phase::Running;
        Some((entry.firing.clone(), entry.failed + 1))
    }

    fn candidate(&self, seen: &Seen, now: Tick) -> Option<usize> {
        if self.entries.iter().any(|entry| !matches!(entry.phase, Phase::Waiting(_))) {
            return None;
        }
        self.entries.iter().position(|entry| {
            matches!(entry.phase, Phase::Waiting(at) if at <= now)
                && standing(&entry.firing, seen) == Standing::Holds
        })
    }

    /// An attempt has ended; `None` for one that is not known here.
    pub fn ended(
        &mut self,
        id: &str,
        outcome: &Outcome,
        attempts: u32,
        now: Tick,
    ) -> Option<Ended> {
        let at = self
            .entries
            .iter()
            .position(|entry| entry.firing.id == id && !matches!(entry.phase, Phase::Waiting(_)))?;
        let entry = &mut self.entries[at];
        let ended = match (outcome, entry.phase) {
            (Outcome::Succeeded, _) => Ended::Done,
            (_, Phase::Killed { again: false }) => Ended::Dropped,
            (_, Phase::Killed { again: true }) | (Outcome::Killed, _) => {
                entry.phase = Phase::default();
                return Some(Ended::Halted);
            }
            (Outcome::Failed(_), _) => {
                entry.failed += 1;
                if entry.failed < attempts {
                    let after = backoff(entry.failed);
                    entry.phase = Phase::Waiting(now + after);
                    return Some(Ended::Again { after });
                }
                Ended::GaveUp { attempts: entry.failed }
            }
        };
        self.entries.remove(at);
        Some(ended)
    }

    /// When the next attempt after a failure is due. One that is overdue waits for something else.
    pub fn wake_at(&self, now: Tick) -> Option<Tick> {
        let at = |entry: &Entry| match entry.phase {
            Phase::Waiting(at) if at > now => Some(at),
            _ => None,
        };
        self.entries.iter().filter_map(at).min()
    }
}

fn backoff(failed: u32) -> Duration {
    let factor = 1_u32 << failed.saturating_sub(1).min(16);
    BACKOFF_FIRST.saturating_mul(factor).min(BACKOFF_MAX)
}
