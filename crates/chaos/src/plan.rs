//! Which fault comes when, to whom and for how long: all of it follows from the seed.

use std::fmt;
use std::time::Duration;

use crate::rng::Rng;

macro_rules! kinds {
    ($($name:ident = $word:literal, $low:literal..=$high:literal, $sentence:literal;)+) => {
        /// What is done to the cluster.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Kind {
            $(#[doc = $sentence] $name,)+
        }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$name),+];

            /// One word, as in the plan and the summary.
            pub fn word(self) -> &'static str {
                match self { $(Kind::$name => $word,)+ }
            }

            pub fn sentence(self) -> &'static str {
                match self { $(Kind::$name => $sentence,)+ }
            }

            /// How long it lasts, in milliseconds: at least and at most.
            fn lasts(self) -> (u64, u64) {
                match self { $(Kind::$name => ($low, $high),)+ }
            }
        }
    };
}

kinds! {
    KillAgent = "kill-agent", 500..=4_000, "kill -9 of the agent; a service manager starts it again";
    KillGuard = "kill-guard", 500..=3_000, "kill -9 of PostgreSQL's parent";
    KillPostmaster = "kill-postmaster", 500..=3_000, "kill -9 of the postmaster, backends go on";
    KillBackend = "kill-backend", 500..=2_000, "kill -9 of one client's backend";
    KillEtcd = "kill-etcd", 500..=3_000, "kill -9 of the node's etcd; its keeper starts it again";
    HostLoss = "host-loss", 3_000..=15_000, "the network goes dark, then everything is killed";
    StopAgent = "stop-agent", 2_000..=14_000, "SIGSTOP of the agent, SIGCONT later";
    StopGuard = "stop-guard", 2_000..=14_000, "SIGSTOP of PostgreSQL's parent, SIGCONT later";
    StopBoth = "stop-agent-and-guard", 2_000..=14_000, "SIGSTOP of agent and guard at once";
    StopPostmaster = "stop-postmaster", 2_000..=14_000, "SIGSTOP of the postmaster";
    StopBackend = "stop-backend", 2_000..=10_000, "SIGSTOP of one client's backend";
    StopEtcd = "stop-etcd", 2_000..=12_000, "SIGSTOP of the node's etcd";
    StopReceivers = "stop-receivers", 4_000..=28_000, "SIGSTOP of every standby's WAL receiver";
    CutOneWay = "cut-one-way", 3_000..=14_000, "what one machine sends to another vanishes";
    Cut = "cut-both-ways", 3_000..=14_000, "nothing passes between two machines";
    Isolate = "isolate", 3_000..=14_000, "nothing passes between a machine and all others";
    IsolateOneWay = "isolate-one-way", 3_000..=14_000, "what a machine sends to all others vanishes";
    SlowLink = "slow-link", 4_000..=14_000, "what a machine sends goes slowly";
    FullDisk = "full-disk", 3_000..=10_000, "the disk of a machine is filled up";
    StalledDisk = "stalled-disk", 2_000..=10_000, "whoever writes to the disk of a machine waits";
    Switchover = "switchover", 1_000..=2_000, "an operator moves the primary";
}

impl Kind {
    /// How long it lasts at least.
    pub fn lasts_at_least(self) -> Duration {
        Duration::from_millis(self.lasts().0)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// To whom, as far as a plan can know: who is primary then shows when it comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    Primary,
    /// The n-th of the others.
    Other(u64),
}

/// One fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    pub at: Duration,
    pub kind: Kind,
    pub whose: Whose,
    pub lasts: Duration,
    /// For what else is left to chance: whom a cable leads to, which backend, how slow.
    pub chance: u64,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.whose {
            Whose::Primary => "the primary".to_owned(),
            Whose::Other(n) => format!("other {n}"),
        };
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "{at:6.1} s  {} of {whose} for {lasts:.1} s", self.kind)
    }
}

/// All faults of a run, in the order of their beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub seed: u64,
    pub steps: Vec<Step>,
}

/// Before the first fault.
const QUIET: Duration = Duration::from_secs(5);
/// Between the beginnings of two faults, in milliseconds: many overlap.
const BETWEEN: (u64, u64) = (2_500, 9_000);
/// After so many faults the cluster is left alone for a while.
const CALM_AFTER: usize = 6;
const CALM: Duration = Duration::from_secs(15);
/// Of ten faults, how many meet the primary.
const PRIMARY_OF_TEN: u64 = 6;

impl Plan {
    /// Every kind of `kinds` comes once before any comes again.
    pub fn draw(seed: u64, length: Duration, kinds: &[Kind]) -> Plan {
        let mut rng = Rng::new(seed);
        let (mut steps, mut deck, mut at) = (Vec::new(), Vec::new(), QUIET);
        while !kinds.is_empty() {
            if deck.is_empty() {
                deck = kinds.to_vec();
                rng.shuffle(&mut deck);
            }
            let Some(kind) = deck.pop() else { break };
            let (low, high) = kind.lasts();
            let lasts = Duration::from_millis(rng.between(low, high));
            if at + lasts > length {
                break;
            }
            let whose = match rng.between(1, 10) {
                n if n <= PRIMARY_OF_TEN => Whose::Primary,
                _ => Whose::Other(rng.between(0, 7)),
            };
            steps.push(Step { at, kind, whose, lasts, chance: rng.draw() });
            at += Duration::from_millis(rng.between(BETWEEN.0, BETWEEN.1));
            if steps.len() % CALM_AFTER == 0 {
                at += CALM;
            }
        }
        Plan { seed, steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_seed_says_everything_and_another_seed_something_else() {
        let plan = |seed| Plan::draw(seed, LONG, Kind::ALL);
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1).steps, plan(2).steps);
    }

    #[test]
    fn every_kind_comes_and_some_overlap() {
        let steps = Plan::draw(7, LONG, Kind::ALL).steps;
        for kind in Kind::ALL {
            assert!(steps.iter().any(|step| step.kind == *kind), "{kind}");
        }
        let overlaps = |pair: &[Step]| pair[0].at + pair[0].lasts > pair[1].at;
        assert!(steps.windows(2).any(overlaps));
        assert!(steps.windows(2).any(|pair| !overlaps(pair)));
        assert!(steps.iter().all(|step| step.at + step.lasts <= LONG));
    }
}
