//! What the helper owes at which moment. Pure: time is an argument, the kernel is elsewhere.
//!
//! ```text
//! Left over ──┬─ hold ─► Held ── drop, or deadline - 700 ms ──► Removing ── gone ─► Empty
//!             └─ nobody within 5 s, or drop ────────────────────────▲                 │
//!                          ▲──────────────────────── hold ────────────────────────────┘
//! ```

use std::time::Duration;

use howdah_base::Tick;

use super::DROP_BEFORE;

/// At its start the address may be there from an earlier helper. So long is left to the agent to
/// ask for it; then it goes.
pub const START_WITHIN: Duration = Duration::from_secs(5);
/// No lease is as long. A deadline beyond it is a mistake of whoever asks.
pub const HOLD_MAX: Duration = Duration::from_secs(600);
/// A removal that failed is tried again after this.
const REMOVE_AGAIN: Duration = Duration::from_millis(100);
/// Pauses before the announcements that follow the first, each longer: some get lost, some
/// switches are slow, and a machine that was frozen may have spoken in between. The last one is
/// repeated for ever.
const ANNOUNCE_AFTER: [Duration; 9] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(60),
];

#[derive(Debug)]
pub struct Duty {
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Empty,
    /// Perhaps there, from an earlier helper.
    LeftOver {
        until: Tick,
    },
    Held {
        until: Tick,
        announce_at: Tick,
        announced: usize,
    },
    Removing {
        again_at: Tick,
    },
}

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    Nothing,
    Remove,
    Announce,
}

impl Duty {
    pub fn new(now: Tick) -> Duty {
        Duty { phase: Phase::LeftOver { until: now + START_WITHIN } }
    }

    /// Before the address is added. Refused when its removal would be due at once.
    pub fn may_hold(&self, until: Tick, now: Tick) -> Result<(), String> {
        if until - DROP_BEFORE <= now {
            return Err(format!("the deadline has passed: `{until}`"));
        }
        if now.until(until) > HOLD_MAX {
            return Err(format!("the deadline is too far off, at most `{}` s", HOLD_MAX.as_secs()));
        }
        Ok(())
    }

    /// The address has been added, or is there still. Says whether it is new.
    pub fn holds(&mut self, until: Tick, now: Tick) -> bool {
        if let Phase::Held { until: held, .. } = &mut self.phase {
            *held = until;
            return false;
        }
        self.phase = Phase::Held { until, announce_at: now, announced: 0 };
        true
    }

    /// It is to go now.
    pub fn drop(&mut self, now: Tick) {
        if !matches!(self.phase, Phase::Empty) {
            self.phase = Phase::Removing { again_at: now };
        }
    }

    pub fn removed(&mut self) {
        self.phase = Phase::Empty;
    }

    pub fn not_removed(&mut self, now: Tick) {
        self.phase = Phase::Removing { again_at: now + REMOVE_AGAIN };
    }

    pub fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Held { .. })
    }

    pub fn is_empty(&self) -> bool {
        matches!(self.phase, Phase::Empty)
    }

    /// Until when the address is held.
    pub fn until(&self) -> Option<Tick> {
        match self.phase {
            Phase::Held { until, .. } => Some(until),
            _ => None,
        }
    }

    /// What is due. An announcement counts as made.
    pub fn look(&mut self, now: Tick) -> Due {
        match &mut self.phase {
            Phase::LeftOver { until } if now >= *until => self.due_removal(now),
            Phase::Held { until, .. } if now >= *until - DROP_BEFORE => self.due_removal(now),
            Phase::Removing { again_at } if now >= *again_at => Due::Remove,
            Phase::Held { announce_at, announced, .. } if now >= *announce_at => {
                let last = ANNOUNCE_AFTER.len() - 1;
                *announce_at = now + ANNOUNCE_AFTER[(*announced).min(last)];
                *announced += 1;
                Due::Announce
            }
            _ => Due::Nothing,
        }
    }

    fn due_removal(&mut self, now: Tick) -> Due {
        self.phase = Phase::Removing { again_at: now };
        Due::Remove
    }

    /// When to look again.
    pub fn wake_at(&self) -> Option<Tick> {
        match self.phase {
            Phase::Empty => None,
            Phase::LeftOver { until } => Some(until),
            Phase::Held { until, announce_at, .. } => Some(announce_at.min(until - DROP_BEFORE)),
            Phase::Removing { again_at } => Some(again_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(1_000_000);

    fn at(ms: u64) -> Tick {
        NOW + Duration::from_millis(ms)
    }

    #[test]
    fn what_an_earlier_helper_left_goes_unless_it_is_asked_for() {
        let mut duty = Duty::new(NOW);
        assert_eq!(duty.wake_at(), Some(at(5000)));
        assert_eq!(duty.look(at(4999)), Due::Nothing);
        assert_eq!(duty.look(at(5000)), Due::Remove);
        duty.removed();
        assert_eq!((duty.look(at(9000)), duty.wake_at()), (Due::Nothing, None));

        let mut duty = Duty::new(NOW);
        assert!(duty.holds(at(8000), NOW), "it is announced anew");
        assert_eq!(duty.look(at(5000)), Due::Announce);
    }

    #[test]
    fn it_goes_before_the_deadline() {
        let mut duty = Duty::new(NOW);
        duty.holds(at(8000), NOW);
        assert_eq!(duty.look(NOW), Due::Announce);
        assert_eq!(duty.look(at(7299)), Due::Announce);
        assert_eq!(duty.look(at(7300)), Due::Remove);
        // Until it has gone: again and again.
        assert_eq!(duty.look(at(7300)), Due::Remove);
        duty.not_removed(at(7300));
        assert_eq!(duty.look(at(7399)), Due::Nothing);
        assert_eq!(duty.wake_at(), Some(at(7400)));
        assert_eq!(duty.look(at(7400)), Due::Remove);
    }

    #[test]
    fn an_extension_moves_it() {
        let mut duty = Duty::new(NOW);
        duty.holds(at(8000), NOW);
        assert!(!duty.holds(at(9000), at(1000)), "it is there already");
        assert_eq!(duty.until(), Some(at(9000)));
        duty.look(at(7300));
        assert!(duty.is_held());
        assert_eq!(duty.look(at(8300)), Due::Remove);
    }

    #[test]
    fn it_is_announced_several_times_and_then_now_and_then() {
        let mut duty = Duty::new(NOW);
        let mut times = Vec::new();
        let mut now = NOW;
        duty.holds(now + Duration::from_secs(300), now);
        while times.len() < 12 {
            now = duty.wake_at().expect("held").max(now);
            duty.holds(now + Duration::from_secs(300), now);
            if duty.look(now) == Due::Announce {
                times.push(now.since(NOW).as_millis());
            }
        }
        let seconds = [0, 100, 500, 1000, 2000, 4000, 8000, 16000, 32000, 92000, 152_000, 212_000];
        assert_eq!(times, seconds);
    }

    #[test]
    fn deadlines_that_cannot_be_meant_are_refused() {
        let duty = Duty::new(NOW);
        assert!(duty.may_hold(at(701), NOW).is_ok());
        assert!(duty.may_hold(at(700), NOW).is_err());
        assert!(duty.may_hold(at(600_000), NOW).is_ok());
        assert!(duty.may_hold(at(600_001), NOW).is_err());
        assert!(duty.may_hold(Tick(u64::MAX), NOW).is_err());
    }
}
