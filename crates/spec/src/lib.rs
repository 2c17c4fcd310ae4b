//! The cluster file `howdah.toml`: raw text to typed values, every mistake reported at once
//! with its place. Pure: whoever calls has read the file, the machine's facts and the server's
//! parameter list, and passes them in.
//!
//! ```text
//! text --parse--> ClusterSpec --effective(node, machine, major)--> postgresql.conf values
//!           \--> Mistakes        \--parameters::check_against(server)--> Mistakes
//! ```

pub mod effective;
mod machine;
mod mistake;
mod parse;
mod text;
mod types;

pub mod backup;
mod drill;
pub mod hba;
pub mod parameters;
pub mod pools;
pub mod schedule;

pub use effective::{
    Effective, LOG_FILE_PREFIX, LOG_FILE_SUFFIX, LOG_KEEP_DAYS, Source, effective, nodes_here,
};
pub use machine::{Machine, MachineTexts};
pub use mistake::{EXIT_USAGE, Mistake, Mistakes};
pub use parse::{Context, Parsed, Places, parse, parse_leniently, parse_with_places, same_machine};
pub use text::{check_text, init_text, to_toml, tune_text};
pub use types::*;
