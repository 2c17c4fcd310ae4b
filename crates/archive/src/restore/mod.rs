//! From the repository back to a data directory.

pub mod holding;
pub mod plan;
pub mod write;
