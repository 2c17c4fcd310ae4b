//! One local PostgreSQL: find, init, configure, copy, rewind, inspect.
//!
//! A door: it touches programs, files and SQL, and decides nothing. The process itself belongs
//! to the guard; what is here prepares it, asks it and repairs its directory.

mod durable;
mod error;
mod program;

pub mod access;
pub mod alone;
pub mod basebackup;
pub mod conf;
pub mod control;
pub mod directory;
pub mod initdb;
pub mod install;
pub mod knock;
pub mod logical;
pub mod logs;
pub mod recovering;
pub mod replication;
pub mod rewind;
pub mod room;
pub mod server;
pub mod session;
pub mod slot;
pub mod wal;

pub use durable::write as write_durably;
pub use error::PgError;
