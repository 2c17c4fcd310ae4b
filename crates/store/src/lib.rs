//! The store: the lease and the cluster's shared record (PROTOCOL section 1).
//!
//! One trait, [`Store`], with transactions on revisions, leases, and a watch; one contract
//! (`tests/contract`) that every driver passes; and the drivers: [`embedded`] (SQLite, for a
//! cluster whose nodes all run on one machine), [`etcd`] (for several machines) and [`memory`]
//! (for the simulation and tests).
//!
//! ```text
//!   agent ──txn, renew, changed──▶ Store ─┬─ embedded ── thread ── SQLite ─┐
//!                                         ├─ memory ───────────────────────┴─▶ memory::State
//!                                         └─ etcd ── members ──▶ gRPC
//! ```
//!
//! What a transaction means is written once, in the pure [`memory::State`]; a driver keeps such
//! a state somewhere, or says the same in its server's words.

mod error;
mod state;
mod txn;

pub mod embedded;
pub mod etcd;
pub mod memory;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

pub use error::StoreError;
pub use txn::{Compare, Entry, Held, LeaseId, Op, Renewal, Snapshot, Txn, TxnOutcome};

/// Where the lease and the shared record live.
///
/// Linearizable when it answers. Each call is bounded in time by its driver. **After an error
/// the outcome of a write is unknown**: it may or may not have been applied, so whoever wants
/// to go on reads the store first.
#[async_trait]
pub trait Store: Send + Sync + Debug {
    /// The driver's name, for status.
    fn kind(&self) -> &'static str;

    /// Everything below the cluster's prefix, at one revision.
    async fn snapshot(&self) -> Result<Snapshot, StoreError>;

    /// Applies all of `txn` or nothing.
    ///
    /// Refused when a comparison fails, and also when a put hangs on a lease that no longer
    /// lives: the right behind the write is gone, and [`Store::renew`] says so too.
    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError>;

    /// A new lease, living for `ttl` unless it is renewed.
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError>;

    /// Lets `lease` live for its whole length again, counted from now, in one transaction with
    /// the check that `while_held` still stands unchanged and hangs on this lease, and with
    /// putting its mark. A lease that still lives proves nothing once the key has been replaced,
    /// hence [`Renewal::Lost`] then too.
    async fn renew(&self, lease: LeaseId, while_held: Option<Held>) -> Result<Renewal, StoreError>;

    /// Ends `lease` now; the keys that hang on it vanish. No error when it has ended already.
    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// Returns when the store's revision is above `since`, also when a lease ran out and took
    /// keys with it. Cancel safe.
    ///
    /// An error says that the driver cannot watch at present; errors come no faster than the
    /// driver's own retry, so a caller may simply call again.
    async fn changed(&self, since: u64) -> Result<(), StoreError>;
}
