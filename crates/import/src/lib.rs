//! What others configure PostgreSQL with, read into a cluster file: `postgresql.conf` and
//! `pg_hba.conf`, Patroni's files, CloudNativePG's manifests, compose files and environment
//! variables. Pure: whoever calls has read the files.
//!
//! ```text
//! inputs --recognise--> leaves with lines --claim or tell--> draft --settle--> howdah.toml
//!                                                              \--> findings: one a leaf
//! ```
//!
//! No key is dropped in silence: each ends as carried, replaced, not carried, or unknown. No
//! value of a secret goes further than its reader.

mod cnpg;
mod compose;
mod conf;
mod draft;
mod env;
mod finding;
mod hba;
mod input;
mod left_out;
mod names;
mod parameters;

mod report;
mod roles;
mod run;
mod table;
mod tree;

pub mod patroni;
pub mod pgbouncer;
pub mod yaml;

pub use conf::{INCLUDE_DEPTH_MAX, Include, IncludeWhat, includes};
pub use finding::{Fate, Finding};
pub use input::{Included, Input, Kind};
pub use report::text;
pub use run::{BadInput, Imported, Secret, import, kind_of};
