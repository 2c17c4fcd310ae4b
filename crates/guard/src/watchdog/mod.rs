//! The watchdog: a device that resets the machine when nobody feeds it in time, for the case that
//! the whole machine is frozen and no process is there to end PostgreSQL.
//!
//! ```text
//! loop ── feed, not after D + margin - T ──► thread ──► device ── T without food ──► reset
//! ```
//! T is the device's time, D the deadline, the margin shorter than the time from D until others may
//! lead: fed for the last time T before D + margin, the device fires before others lead, never
//! after. The fence ends the server before D: where the guard lives, the device has been stopped by
//! then.
//!
//! A thread of its own speaks to the device, because drivers may wait for their hardware. It does
//! nothing by itself: when the loop is frozen, the device goes hungry.

mod device;
mod keeper;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use howdah_base::Tick;
use serde::{Deserialize, Serialize};

pub use device::{Device, OpenDevice, open};
use keeper::{Heard, Keeper, Order};

use crate::clock;

/// So long before the last moment for it the device has been fed at the latest.
const FEED_EVERY: Duration = Duration::from_millis(200);
/// Until the thread has answered, the loop looks this often whether it has.
const ANSWER_EVERY: Duration = Duration::from_millis(20);
/// A device that did not work is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(10);
/// Before a server may write: so long for the device to be armed.
const ARM_WITHIN: Duration = Duration::from_secs(1);

/// How a node's watchdog is to be kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wish {
    pub device: PathBuf,
    /// The device's time without food, whole seconds.
    pub timeout_s: u32,
    /// A device that grants only more than this cannot be fed in time.
    pub timeout_max_ms: u64,
    /// It has fired at the latest so long after the deadline: before others may lead.
    pub margin_ms: u64,
    /// No server may write without it.
    pub required: bool,
}

/// What has come of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum WatchdogState {
    /// Nobody wants one, or its device has not been looked at yet.
    #[default]
    Unknown,
    /// It works, and is stopped while this server may not write.
    Stopped,
    /// It resets the machine unless it is fed.
    Armed {
        timeout_s: u32,
    },
    Failed {
        why: String,
    },
}

/// The loop's side.
#[derive(Debug)]
pub struct Watchdog {
    keeper: Keeper,
    wish: Option<Wish>,
    state: WatchdogState,
    /// It cannot be stopped (`nowayout`): it is fed as long as the guard lives.
    unstoppable: bool,
    /// Seconds that the device is known to grant for what is asked.
    grants: Option<u32>,
    /// Nobody wants it any more, and whether it runs is not known: it is to be stopped once.
    forsaken: bool,
    /// The thread has not answered yet.
    busy: bool,
    next: Tick,
}

impl Watchdog {
    pub fn new(open: OpenDevice) -> Watchdog {
        Watchdog::with(Keeper::start(open))
    }

    fn with(keeper: Keeper) -> Watchdog {
        Watchdog {
            keeper,
            wish: None,
            state: WatchdogState::Unknown,
            unstoppable: false,
            grants: None,
            forsaken: false,
            busy: false,
            next: Tick(0),
        }
    }

    pub fn state(&self) -> WatchdogState {
        self.state.clone()
    }

    /// The first wish has the device started and stopped once: a guard that was killed may have
    /// left it running, and whether it works is known before it is needed.
    pub fn wish(&mut self, wish: Option<Wish>) {
        if self.wish != wish {
            self.wish = wish;
            self.next = Tick(0);
            if !self.is_armed() {
                self.forsaken = self.wish.is_none();
                self.state = WatchdogState::Unknown;
                self.grants = None;
            }
        }
    }

    /// Before a server may write until `deadline`: has the device armed, and says why not where it
    /// is required.
    pub fn ready(&mut self, deadline: Tick) -> Result<(), String> {
        if self.wish.is_none() {
            return Ok(());
        }
        let mut left = ARM_WITHIN;
        while !self.is_armed() && !left.is_zero() {
            if !self.busy {
                let not_after = self.arms_until(Some(deadline), clock::now());
                self.order(Order::arm(self.wish.as_ref(), not_after));
            }
            let Some(heard) = self.keeper.hear(ANSWER_EVERY) else {
                left = left.saturating_sub(ANSWER_EVERY);
                continue;
            };
            self.take(heard, clock::now());
            if matches!(self.state, WatchdogState::Failed { .. }) {
                break;
            }
        }
        let required = self.wish.as_ref().is_some_and(|wish| wish.required);
        match &self.state {
            WatchdogState::Armed { .. } => Ok(()),
            WatchdogState::Failed { why } if required => Err(why.clone()),
            _ if required => Err(format!("it was not armed within {ARM_WITHIN:?}")),
            _ => Ok(()),
        }
    }

    /// It is required, and could not be armed any more for a server that may write until `deadline`:
    /// it works, and a later deadline is what it takes.
    pub fn is_too_late(&self, deadline: Tick, now: Tick) -> bool {
        let required = self.wish.as_ref().filter(|wish| wish.required);
        !self.is_armed() && required.is_some_and(|wish| now > self.last_moment(wish, deadline))
    }

    /// What is due; `deadline`: of a server that may write. Gives a line for the log.
    pub fn turn(&mut self, deadline: Option<Tick>, now: Tick) -> Option<String> {
        let before = self.state.clone();
        while let Some(heard) = self.keeper.heard() {
            self.take(heard, now);
        }
        if !self.busy && now >= self.next {
            self.act(deadline, now);
        }
        (before != self.state).then(|| sentence(&self.state))
    }

    /// Before the guard's own end: a device that runs on resets the machine.
    pub fn close(&mut self) {
        self.wish = None;
        let mut left = ARM_WITHIN;
        // A feed that failed may have left it running.
        let mut unsure = matches!(self.state, WatchdogState::Failed { .. });
        while (unsure || self.is_armed() && !self.unstoppable) && !left.is_zero() {
            if !self.busy {
                self.order(Order::Stop);
            }
            match self.keeper.hear(ANSWER_EVERY) {
                Some(heard) => {
                    unsure &= !matches!(heard, Heard::Stopped(_));
                    self.take(heard, clock::now());
                }
                None => left = left.saturating_sub(ANSWER_EVERY),
            }
        }
    }

    fn act(&mut self, deadline: Option<Tick>, now: Tick) {
        let wanted = self.wish.is_some() && deadline.is_some();
        match (&self.state, &self.wish) {
            (WatchdogState::Armed { .. }, _) if self.unstoppable && !wanted => {
                self.order(Order::Feed { not_after: Tick(u64::MAX) });
                self.next = now + FEED_EVERY;
            }
            (WatchdogState::Armed { .. }, _) if !wanted => {
                self.order(Order::Stop);
                self.next = now + FEED_EVERY;
            }
            (WatchdogState::Armed { .. }, _) => {
                let not_after = self.feeds_until(deadline).unwrap_or_default();
                if now <= not_after {
                    self.order(Order::Feed { not_after });
                    self.next = (now + FEED_EVERY).min(not_after.max(now + ANSWER_EVERY));
                }
            }
            (WatchdogState::Stopped, Some(_)) if !wanted => {}
            (_, Some(_)) => {
                let not_after = self.arms_until(deadline, now);
                if now <= not_after {
                    self.next = now + RETRY_EVERY;
                    self.order(Order::arm(self.wish.as_ref(), not_after));
                } else {
                    self.next = now + FEED_EVERY;
                }
            }
            // A feed that failed may have left it running.
            (_, None) if std::mem::take(&mut self.forsaken) => self.order(Order::Stop),
            (_, None) => {}
        }
    }

    /// The last moment to arm it: it may be running. Whoever waits for it does not wait longer than
    /// [`ARM_WITHIN`].
    fn arms_until(&self, deadline: Option<Tick>, now: Tick) -> Tick {
        let (Some(deadline), Some(wish)) = (deadline, &self.wish) else { return now + ARM_WITHIN };
        self.last_moment(wish, deadline).min(now + ARM_WITHIN)
    }

    /// Armed later, it would fire when others may lead already.
    fn last_moment(&self, wish: &Wish, deadline: Tick) -> Tick {
        last_food(deadline, wish.margin_ms, self.grants.unwrap_or(wish.timeout_s))
    }

    /// The last moment for food: fed then, the device fires when others may lead.
    fn feeds_until(&self, deadline: Option<Tick>) -> Option<Tick> {
        let WatchdogState::Armed { timeout_s } = self.state else { return None };
        let margin = self.wish.as_ref().map_or(0, |wish| wish.margin_ms);
        Some(last_food(deadline?, margin, timeout_s))
    }

    /// When [`Watchdog::turn`] has to be called at the latest.
    pub fn wake_at(&self, deadline: Option<Tick>, now: Tick) -> Option<Tick> {
        if self.busy {
            return Some(now + ANSWER_EVERY);
        }
        let closed = self.feeds_until(deadline).is_some_and(|until| now > until);
        let idle = match self.state {
            WatchdogState::Armed { .. } => closed,
            WatchdogState::Stopped => self.wish.is_none() || deadline.is_none(),
            WatchdogState::Unknown | WatchdogState::Failed { .. } => {
                self.wish.is_none() && !self.forsaken
            }
        };
        (!idle).then(|| self.next.max(now))
    }

    fn take(&mut self, heard: Heard, now: Tick) {
        self.busy = false;
        self.state = match heard {
            Heard::Armed(Ok(timeout_s)) => {
                self.unstoppable = false;
                self.next = now;
                let max = self.wish.as_ref().map_or(0, |wish| wish.timeout_max_ms);
                let asked = self.wish.as_ref().map_or(0, |wish| wish.timeout_s);
                let expected = self.grants.replace(timeout_s).unwrap_or(asked);
                if u64::from(timeout_s) * 1_000 > max {
                    self.order(Order::Stop);
                    let why = format!(
                        "the device takes no less than {timeout_s} s, and others may lead earlier; \
                         hint: a longer `lease` in [ha]"
                    );
                    self.next = now + RETRY_EVERY;
                    WatchdogState::Failed { why }
                } else if timeout_s > expected {
                    // It was perhaps armed too late for that; the next time it is known.
                    self.order(Order::Stop);
                    WatchdogState::Stopped
                } else {
                    WatchdogState::Armed { timeout_s }
                }
            }
            Heard::Armed(Err(why)) => WatchdogState::Failed { why },
            Heard::Late => {
                self.next = now + FEED_EVERY;
                match &self.state {
                    WatchdogState::Failed { .. } => return,
                    _ => WatchdogState::Failed { why: "it was too late to arm it".to_owned() },
                }
            }
            Heard::Fed(Err(why)) => {
                self.forsaken = self.wish.is_none();
                self.next = now + FEED_EVERY;
                WatchdogState::Failed { why }
            }
            Heard::Fed(Ok(())) => return,
            Heard::Stopped(Ok(())) if matches!(self.state, WatchdogState::Failed { .. }) => return,
            Heard::Stopped(Ok(())) => WatchdogState::Stopped,
            // Whatever was wanted, it runs, and has to be fed.
            Heard::Stopped(Err(timeout_s)) => {
                self.unstoppable = true;
                WatchdogState::Armed { timeout_s }
            }
        };
    }

    fn order(&mut self, order: Order) {
        self.busy = self.keeper.order(order);
        if !self.busy {
            self.state = WatchdogState::Failed { why: "its thread does not run".to_owned() };
            self.next = clock::now() + RETRY_EVERY;
        }
    }

    fn is_armed(&self) -> bool {
        matches!(self.state, WatchdogState::Armed { .. })
    }
}

fn last_food(deadline: Tick, margin_ms: u64, timeout_s: u32) -> Tick {
    Tick((deadline.0 + margin_ms).saturating_sub(u64::from(timeout_s) * 1_000))
}

fn sentence(state: &WatchdogState) -> String {
    match state {
        WatchdogState::Unknown => "watchdog: not wanted any more".to_owned(),
        WatchdogState::Stopped => "watchdog: stopped".to_owned(),
        WatchdogState::Armed { timeout_s } => {
            format!("watchdog: armed, resets this machine after `{timeout_s}` s without food")
        }
        WatchdogState::Failed { why } => format!("watchdog: does not work: {why}"),
    }
}
