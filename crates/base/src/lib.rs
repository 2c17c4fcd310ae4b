//! Words that every crate shares. Pure: no clock, no I/O, no randomness, no async.
//!
//! Positions in the WAL ([`Lsn`], [`Timeline`], [`History`]), identity ([`NodeName`],
//! [`DirectoryId`], [`Term`]), time as an argument ([`Tick`]), text units ([`Bytes`],
//! [`Span`]), secrets ([`Redacted`]), counts ([`Gauge`]), the store's [`record`]s, what the proxy routes by
//! ([`topology`]), and what an operator sees ([`status`]).

mod gauge;
mod name;
mod redacted;
mod tick;
mod units;
mod wal;
mod wal_file;

pub mod ask;
pub mod backups;
pub mod calendar;
pub mod commits;
pub mod record;
pub mod status;
pub mod topology;

pub use gauge::{Gauge, Held};
pub use name::{BadName, ClusterName, DirectoryId, NodeName, Term};
pub use redacted::Redacted;
pub use tick::Tick;
pub use units::{BadUnit, Bytes, Span};
pub use wal::{BadLsn, History, Lsn, Position, Timeline};
pub use wal_file::{BadWalFile, WalFile};
