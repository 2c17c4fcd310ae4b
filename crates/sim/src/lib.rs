//! Deterministic simulation of a whole cluster around the real HA core.
//!
//! ```text
//!  seed ─► Plan ─► World { nodes: agent shell (real ha::decide) · guard · PostgreSQL · disk,
//!                          store (real State and ledger), connections, clients } ─► Verdict
//! ```
//! One event at a time from a heap; no thread, no real clock. After each event the checker
//! looks whether anything is wrong; when all faults are over the cluster must heal.

mod acknowledge;
mod agent;
mod bias;
mod body;
mod check;
mod client;
mod directory;
mod disk;
mod effect;
mod event;
mod faults;
mod fetch;
mod grace;
mod guard;
mod jobs;
mod lease;
mod link;
mod machine;
mod mistakes;
mod mixture;
mod node;
mod observe;
mod operator;
mod probe;
mod promise;
mod rng;
mod server;
mod stream;
mod sweep;
mod trail;
mod world;

pub mod plan;
pub mod planted;
pub mod report;

pub use effect::{Effect, Effects};
pub use plan::Plan;
pub use planted::{Mistakes, Planted};
pub use sweep::{Summary, sweep, threads};
pub use trail::Trail;

use crate::world::World;

/// What became of one run.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub seed: u64,
    /// What was wrong, if anything.
    pub wrong: Option<String>,
    pub at_ms: u64,
    pub steps: u64,
    /// Commits that clients were told of.
    pub acknowledged: u64,
    pub terms: u64,
    /// What befell it and mattered.
    pub effects: Effects,
    /// Which rules decided.
    pub trail: Trail,
}

/// Runs `plan` to its end.
pub fn run(plan: Plan, planted: impl Into<Mistakes>, trace: bool) -> Verdict {
    World::new(plan, planted.into(), trace).run()
}

/// Leaves out faults, one after the other, as long as the run stays wrong.
pub fn shrink(mut plan: Plan, planted: impl Into<Mistakes>) -> Plan {
    let planted = planted.into();
    let mut at = 0;
    while at < plan.faults.len() {
        let mut fewer = plan.clone();
        fewer.faults.remove(at);
        if run(fewer.clone(), planted, false).wrong.is_some() {
            plan = fewer;
        } else {
            at += 1;
        }
    }
    plan
}
