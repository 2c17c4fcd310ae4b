//! Texts that people read: a first cluster file, the effective values, the formulas, and a
//! whole file written back.

mod check;
mod init;
mod table;
mod toml;

pub use check::{check_text, tune_text};
pub use init::init_text;
pub use toml::to_toml;
