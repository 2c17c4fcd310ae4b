//! From a data directory into the repository.

pub mod engine;
pub mod files;
pub mod page;
pub mod scan;
pub mod summaries;
