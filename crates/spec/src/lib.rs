//! The cluster file `howdah.toml`: raw text to typed values, every mistake reported at once
//! with its place. Pure: whoever calls has read the file, the machine's facts and the server's
//! parameter list, and passes them in.

pub mod hba;
mod types;

pub use types::*;
