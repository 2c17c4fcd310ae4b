//! Poolers beside each other: what one transaction costs them, how long it takes, what a client
//! that does nothing costs.
//!
//! ```text
//! pgbench ── TCP or Unix socket ──► pooler ── the same kind of socket ──► PostgreSQL
//! ```
//! The poolers run all the time and take turns, row by row and round by round.

pub mod ground;
pub mod idle;
pub mod load;
pub mod pooler;
pub mod report;
pub mod rows;
