//! Who gets a pool's next server: classes with guaranteed servers, and a fair share of the rest.
//!
//! A class may take a server as long as enough stay free for what is guaranteed to the others and
//! not in use by them: background jobs that run for hours never hold what consultation may need in
//! the next moment. Among the classes that may, the one goes first that has had the least time of
//! servers for its weight; within a class whoever has waited longest.
//!
//! ```text
//! limit 8   | background 4 (guaranteed 2)      | free 4: kept for consultation's guarantee |
//! ```
//! Start-time fair queueing over measured time: P. Goyal, H. Vin, H. Cheng, "Start-time Fair
//! Queuing", SIGCOMM 1996, with what a request costs known when it is over.

use std::collections::VecDeque;

/// What the configuration says of one class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Class {
    /// Servers that are there for it whatever the others do.
    pub guaranteed: u32,
    /// Its part of all others, in proportion to the others' weights.
    pub weight: u32,
}

/// Parts of a microsecond that are counted: weights are divided by.
const FINE: u64 = 1_024;

/// Who waits: a number of the caller's.
pub type Waiter = u64;

/// The servers of one pool and who waits for them.
#[derive(Debug)]
pub struct Shares {
    limit: u32,
    classes: Vec<State>,
    /// What a class that begins to wait starts from: nobody saves time up by being away.
    now: u64,
}

#[derive(Debug)]
struct State {
    class: Class,
    in_use: u32,
    waiting: VecDeque<Waiter>,
    /// Time of servers that it has had, over its weight.
    had: u64,
}

impl Shares {
    /// `limit`: servers in all. What is guaranteed beyond it is not.
    pub fn new(limit: u32, classes: &[Class]) -> Shares {
        let state = |class: &Class| State {
            class: Class { weight: class.weight.max(1), ..*class },
            in_use: 0,
            waiting: VecDeque::new(),
            had: 0,
        };
        Shares { limit, classes: classes.iter().map(state).collect(), now: 0 }
    }

    /// Asks for a server. `true`: it has one at once, and gives it back with [`Shares::release`];
    /// else it waits until [`Shares::grant`] names it.
    pub fn request(&mut self, class: usize, waiter: Waiter) -> bool {
        let now = self.now;
        let state = &mut self.classes[class];
        if state.waiting.is_empty() && state.in_use == 0 {
            state.had = state.had.max(now);
        }
        if self.waiting() == 0 && self.may_take(class) {
            self.take(class);
            return true;
        }
        self.classes[class].waiting.push_back(waiter);
        false
    }

    /// A server comes back after so many microseconds.
    pub fn release(&mut self, class: usize, busy_us: u64) {
        let state = &mut self.classes[class];
        state.in_use -= 1;
        state.had += busy_us.max(1).saturating_mul(FINE) / u64::from(state.class.weight);
        let had = state.had;
        self.now = self.now.max(self.least().unwrap_or(had));
    }

    /// Who has a server now, of those who wait. To be asked until it is `None` after each
    /// [`Shares::release`], [`Shares::resize`] and [`Shares::request`] that was not met.
    pub fn grant(&mut self) -> Option<(usize, Waiter)> {
        let may = |at: &usize| !self.classes[*at].waiting.is_empty() && self.may_take(*at);
        let class = (0..self.classes.len()).filter(may).min_by_key(|at| self.classes[*at].had)?;
        let waiter = self.classes[class].waiting.pop_front()?;
        self.take(class);
        Some((class, waiter))
    }

    /// It waits no longer.
    pub fn give_up(&mut self, class: usize, waiter: Waiter) {
        self.classes[class].waiting.retain(|other| *other != waiter);
    }

    /// More servers, or fewer: those in use stay until they come back.
    pub fn resize(&mut self, limit: u32) {
        self.limit = limit;
    }

    pub fn waiting(&self) -> usize {
        self.classes.iter().map(|state| state.waiting.len()).sum()
    }

    pub fn in_use(&self, class: usize) -> u32 {
        self.classes[class].in_use
    }

    fn take(&mut self, class: usize) {
        self.classes[class].in_use += 1;
    }

    /// What is free, less what must stay free for the others. A class that has less than its
    /// guarantee takes from nobody's.
    fn may_take(&self, class: usize) -> bool {
        let in_use: u32 = self.classes.iter().map(|state| state.in_use).sum();
        let others = self.classes.iter().enumerate().filter(|(at, _)| *at != class);
        let kept = others.map(|(_, state)| state.owed()).fold(0_u32, u32::saturating_add);
        let own = self.classes[class].owed() > 0;
        let free = self.limit.saturating_sub(in_use);
        free > if own { 0 } else { kept }
    }

    /// The least that a class with something to do has had.
    fn least(&self) -> Option<u64> {
        let busy = self.classes.iter().filter(|s| s.in_use > 0 || !s.waiting.is_empty());
        busy.map(|state| state.had).min()
    }
}

impl State {
    /// What is guaranteed to it and not in use by it.
    fn owed(&self) -> u32 {
        self.class.guaranteed.saturating_sub(self.in_use)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSULTATION: usize = 0;
    const BACKGROUND: usize = 1;

    fn shares(limit: u32, classes: &[(u32, u32)]) -> Shares {
        let class =
            |(guaranteed, weight): &(u32, u32)| Class { guaranteed: *guaranteed, weight: *weight };
        Shares::new(limit, &classes.iter().map(class).collect::<Vec<_>>())
    }

    #[test]
    fn jobs_never_hold_what_is_guaranteed_to_others() {
        let mut shares = shares(8, &[(3, 1), (1, 1)]);
        let got = (0..20).filter(|job| shares.request(BACKGROUND, *job)).count();
        assert_eq!(got, 5, "three stay free");
        assert!((0..3).all(|ask| !shares.request(CONSULTATION, 100 + ask)));
        let next: Vec<_> = std::iter::from_fn(|| shares.grant()).collect();
        assert_eq!(next, [(CONSULTATION, 100), (CONSULTATION, 101), (CONSULTATION, 102)]);
        // A job ends: consultation has its guarantee, and the least time for its weight.
        assert!(!shares.request(CONSULTATION, 103));
        shares.release(BACKGROUND, 5_000_000);
        assert_eq!(shares.grant(), Some((CONSULTATION, 103)));
        assert_eq!(shares.grant(), None);
    }

    #[test]
    fn who_has_waited_longest_goes_first_and_who_gave_up_does_not() {
        let mut shares = shares(1, &[(0, 1)]);
        assert!(shares.request(0, 1));
        (2..5).for_each(|waiter| assert!(!shares.request(0, waiter)));
        shares.give_up(0, 3);
        shares.release(0, 10);
        assert_eq!((shares.grant(), shares.grant()), (Some((0, 2)), None));
        shares.release(0, 10);
        assert_eq!((shares.grant(), shares.waiting()), (Some((0, 4)), 0));
    }

    /// Plays a pool that all classes want more of than there is; gives the part of the time that
    /// each had, in percent.
    fn parts(limit: u32, classes: &[(u32, u32)], job_us: &[u64]) -> Vec<u64> {
        let mut shares = shares(limit, classes);
        let mut running: Vec<(u64, usize)> = Vec::new();
        let mut had = vec![0; classes.len()];
        let (mut now, mut waiter) = (0, 0);
        while now < 60_000_000 {
            for (class, job) in job_us.iter().enumerate() {
                while shares.classes[class].waiting.len() < 4 {
                    waiter += 1;
                    if shares.request(class, waiter) {
                        running.push((now + job, class));
                    }
                }
            }
            while let Some((class, _)) = shares.grant() {
                running.push((now + job_us[class], class));
            }
            running.sort_unstable();
            let (end, class) = running.remove(0);
            now = end;
            had[class] += job_us[class];
            shares.release(class, job_us[class]);
        }
        let all: u64 = had.iter().sum();
        had.iter().map(|had| had * 100 / all).collect()
    }

    #[test]
    fn the_rest_is_shared_by_weight_whatever_a_job_takes() {
        let parts =
            parts(10, &[(1, 60), (1, 20), (0, 15), (0, 5)], &[1_000, 5_000, 40_000, 900_000]);
        for (part, want) in parts.iter().zip([60, 20, 15, 5]) {
            assert!(part.abs_diff(want) <= 10, "{parts:?}");
        }
    }

    #[test]
    fn nobody_saves_time_up_by_being_away() {
        let mut shares = shares(1, &[(0, 1), (0, 1)]);
        for waiter in 0..100 {
            assert!(shares.request(0, waiter));
            shares.release(0, 1_000);
        }
        assert!(shares.request(0, 100));
        (0..10).for_each(|waiter| assert!(!shares.request(1, 200 + waiter)));
        (0..10).for_each(|waiter| assert!(!shares.request(0, 300 + waiter)));
        let mut turns = Vec::new();
        let mut class = 0;
        for _ in 0..10 {
            shares.release(class, 1_000);
            class = shares.grant().expect("somebody waits").0;
            turns.push(class);
        }
        let of_one = turns.iter().filter(|class| **class == 1).count();
        assert!((4..=6).contains(&of_one), "{turns:?}");
    }
}
