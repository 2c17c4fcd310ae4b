//! Backups, restores and WAL files: the same data by Howdah and by pgBackRest, one behind the other.

pub mod ground;
pub mod report;
pub mod rows;
pub mod spent;
pub mod tools;

pub use ground::Ground;
pub use spent::Spent;
