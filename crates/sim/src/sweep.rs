//! Many seeds on several threads. A run depends on its seed alone, so the result is the same
//! whatever their number.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use howdah_ha::Rule;

use crate::{Effect, Effects, Mistakes, Plan, Trail, Verdict, run};

/// Threads that work at the same time.
const THREADS_MAX: usize = 8;

/// What many runs come to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub seeds: u64,
    pub acknowledged: u64,
    pub terms: u64,
    pub steps: u64,
    pub effects: Effects,
    pub trail: Trail,
    /// The runs that went wrong, by seed.
    pub wrong: Vec<Verdict>,
}

impl Summary {
    pub fn add(&mut self, verdict: Verdict) {
        self.seeds += 1;
        self.acknowledged += verdict.acknowledged;
        self.terms += verdict.terms;
        self.steps += verdict.steps;
        self.effects.add(&verdict.effects);
        self.trail.add(&verdict.trail);
        if verdict.wrong.is_some() {
            self.wrong.push(verdict);
        }
    }

    pub fn join(&mut self, other: Summary) {
        self.seeds += other.seeds;
        self.acknowledged += other.acknowledged;
        self.terms += other.terms;
        self.steps += other.steps;
        self.effects.add(&other.effects);
        self.trail.add(&other.trail);
        self.wrong.extend(other.wrong);
        self.wrong.sort_by_key(|verdict| verdict.seed);
    }
}

/// As it is printed and kept.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = |e: &Effect| format!("{} {}", self.effects.of(*e), e.words());
        let effects: Vec<String> = Effect::ALL.iter().map(effect).collect();
        writeln!(f, "took effect: {}", effects.join(", "))?;
        let reached = self.trail.reached();
        let missed = Rule::ALL.iter().filter(|rule| !reached.contains(rule));
        let missed: Vec<String> = missed.map(|rule| rule.number().to_string()).collect();
        writeln!(f, "rules: {} reached, not {}", reached.len(), missed.join(", "))?;
        writeln!(
            f,
            "{} seeds, {} acknowledged commits, {} terms, {} steps, {} wrong",
            self.seeds,
            self.acknowledged,
            self.terms,
            self.steps,
            self.wrong.len()
        )
    }
}

/// How many seeds run at the same time.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX))
}

/// Runs the seeds from `from` on, `seeds` of them; with `first` only until one went wrong.
pub fn sweep(from: u64, seeds: u64, planted: impl Into<Mistakes>, first: bool) -> Summary {
    let planted = planted.into();
    let (next, end) = (AtomicU64::new(from), from + seeds);
    let work = || {
        let mut summary = Summary::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return summary;
            }
            let verdict = run(Plan::with(seed, planted.about), planted, false);
            if first && verdict.wrong.is_some() {
                next.store(end, Ordering::Relaxed);
            }
            summary.add(verdict);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads()).map(|_| scope.spawn(work)).collect();
        let mut all = Summary::default();
        for worker in workers {
            match worker.join() {
                Ok(summary) => all.join(summary),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}
