//! What the guard owes at which moment. Pure: time is an argument, signals are sent elsewhere.
//!
//! ```text
//! Empty ─start─► Running ─stop─► Stopping ─stop_by─┐
//!   ▲               ├─ deadline - 700 ms: fence ───┤ (SIGQUIT, then wait)
//!   │               └─ deadline - 300 ms, kill ──┐ │
//!   └── none left ◄── Killing ◄──────────────────┴─┴── postmaster's end
//! ```
//! The fence is not taken back: its postmaster is ending already, and a later extension would
//! only hide that.

use howdah_base::Tick;

use crate::message::{Phase, Refusal};
use crate::{KILL_BEFORE, QUIT_BEFORE};

#[derive(Debug)]
pub struct Duty {
    phase: Phase,
    deadline: Option<Tick>,
    /// When a shutdown's time is over.
    stop_by: Option<Tick>,
    fenced: bool,
}

impl Duty {
    /// As the guard starts: everything that an earlier guard left has to end first.
    pub fn new() -> Duty {
        Duty { phase: Phase::Killing, deadline: None, stop_by: None, fenced: false }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn deadline(&self) -> Option<Tick> {
        self.deadline
    }

    /// Before the fork. A deadline so near that the fence would begin at once is refused.
    pub fn start(&mut self, deadline: Option<Tick>, now: Tick) -> Result<(), Refusal> {
        if let Some(deadline) = deadline.filter(|d| *d - QUIT_BEFORE <= now) {
            return Err(Refusal::DeadlinePassed { deadline });
        }
        *self = Duty { phase: Phase::Running, deadline, stop_by: None, fenced: false };
        Ok(())
    }

    /// An earlier deadline than the one in force changes nothing; one that has passed already,
    /// where there was none, begins the fence at the next look.
    pub fn extend(&mut self, deadline: Tick, now: Tick) -> Result<(), Refusal> {
        self.still_free(now)?;
        self.deadline = self.deadline.max(Some(deadline));
        Ok(())
    }

    pub fn disarm(&mut self, now: Tick) -> Result<(), Refusal> {
        self.still_free(now)?;
        self.deadline = None;
        Ok(())
    }

    /// A server runs and its fence has not begun. By the time and not by what was done: a request
    /// may have waited in the socket while the guard was frozen.
    fn still_free(&self, now: Tick) -> Result<(), Refusal> {
        if self.phase == Phase::Empty {
            return Err(Refusal::NotRunning);
        }
        match self.deadline {
            Some(deadline) if self.fenced || now >= deadline - QUIT_BEFORE => {
                Err(Refusal::Fencing { deadline })
            }
            _ => Ok(()),
        }
    }

    /// A shutdown was asked for. A second one can only shorten its time.
    pub fn stop(&mut self, by: Tick) {
        if self.phase == Phase::Running {
            self.phase = Phase::Stopping;
        }
        self.stop_by = Some(self.stop_by.map_or(by, |earlier| earlier.min(by)));
    }

    /// Everything has to end now: a client asked for it, or the postmaster is gone.
    pub fn kill(&mut self) {
        self.phase = Phase::Killing;
    }

    /// No process of the instance is left. Says whether the deadline did it.
    pub fn emptied(&mut self) -> bool {
        let fenced = self.fenced;
        *self = Duty { phase: Phase::Empty, deadline: None, stop_by: None, fenced: false };
        fenced
    }

    /// Once for each fence, when it begins: its deadline.
    pub fn fence_begins(&mut self, now: Tick) -> Option<Tick> {
        let deadline = self.deadline.filter(|d| !self.fenced && now >= *d - QUIT_BEFORE)?;
        self.fenced = true;
        if self.phase == Phase::Running {
            self.phase = Phase::Stopping;
        }
        Some(deadline)
    }

    /// Whether everything has to be killed now.
    pub fn must_kill(&mut self, now: Tick) -> bool {
        let too_late = self.deadline.is_some_and(|deadline| now >= deadline - KILL_BEFORE);
        let too_slow = self.stop_by.is_some_and(|by| now >= by);
        if self.phase != Phase::Empty && (too_late || too_slow) {
            self.phase = Phase::Killing;
        }
        self.phase == Phase::Killing
    }

    /// When to look again, apart from the rounds of killing.
    pub fn wake_at(&self) -> Option<Tick> {
        if matches!(self.phase, Phase::Empty | Phase::Killing) {
            return None;
        }
        let before = if self.fenced { KILL_BEFORE } else { QUIT_BEFORE };
        let fence = self.deadline.map(|deadline| deadline - before);
        [fence, self.stop_by].into_iter().flatten().min()
    }
}

#[cfg(test)]
#[path = "duty_tests.rs"]
mod tests;
