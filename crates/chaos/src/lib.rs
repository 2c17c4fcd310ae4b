//! Chaos: a cluster of real servers on machines of its own, faults by a plan that follows from a
//! seed, clients that remember what they were told, and a judge of it.
//!
//! [`plan`] says which fault comes when, [`nemesis`] does it and proves that it took effect,
//! [`clients`] write and read meanwhile, [`check`] judges their [`history`] against what the
//! cluster holds at the end, [`summary`] keeps the result and adds results up.

pub mod check;
pub mod clients;
pub mod history;
pub mod manager;
pub mod nemesis;
pub mod plan;
pub mod plant;
pub mod rng;
pub mod rules;
pub mod run;
pub mod summary;
