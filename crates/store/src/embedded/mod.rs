//! The store of a cluster whose nodes all run on one machine: one SQLite file, shared by
//! their processes. Nothing to install.
//!
//! ```text
//!   Store calls ──▶ queue ──▶ [calls]      one transaction each: load, State, save
//!   changed()   ◀── revision ◀── [watch]   hears of others' writes, ends leases in time
//!                                [tidy]    copies the WAL back into the file
//!                    └──── store.db, store.db-wal, store.db-shm, store.bell ────┘
//! ```
//!
//! **One file** for leases and records, although only records are worth an fsync: SQLite
//! commits to two files in WAL mode one after the other, so a `kill -9` in between would leave
//! half a takeover. What differs is the fsync: a transaction that only concerns leases commits
//! with `synchronous = NORMAL` (none), one that changes records with `FULL`.
//!
//! **Leases end by the boot-time clock**, judged inside every transaction. That clock starts
//! anew with the machine, so each file notes the boot id: under another one all leases are over.
//!
//! SQLite's locks are POSIX locks, which a process loses when it closes *any* descriptor of
//! the file: nothing here opens these files except SQLite.

mod bell;
mod calls;
mod clock;
mod desk;
mod fault;
mod place;
mod rows;
mod tidy;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch as channel;

use self::calls::Calls;
pub use self::clock::{Options, boot_id, boot_now};
use self::desk::Sync;
use self::place::Place;
use self::watch::Seen;
use crate::{Held, LeaseId, Op, Renewal, Snapshot, Store, StoreError, Txn, TxnOutcome};

/// One process's way into the store. The threads behind it end when it is dropped.
#[derive(Debug)]
pub struct Embedded {
    calls: Calls,
    seen: channel::Sender<Seen>,
    /// Dropped with this value, which ends the threads that hold the other side.
    _stop: [std::sync::mpsc::Sender<()>; 2],
}

impl Embedded {
    /// Opens the store in `directory`, making both where there is nothing yet.
    pub async fn open(directory: &Path, options: Options) -> Result<Embedded, StoreError> {
        let place = Arc::new(Place::new(directory, options));
        let seen = channel::Sender::new(Seen::default());
        let calls = Calls::start(Arc::clone(&place), seen.clone()).await?;
        let watch = watch::start(Arc::clone(&place), seen.clone())?;
        let tidy = tidy::start(place)?;
        Ok(Embedded { calls, seen, _stop: [watch, tidy] })
    }
}

#[async_trait]
impl Store for Embedded {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.calls.ask(|desk| desk.snapshot()).await
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        let sync = needed_sync(&txn);
        self.calls.ask(move |desk| desk.write(sync, |state, now| state.txn(txn, now))).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.calls
            .ask(move |desk| desk.write(Sync::Lease, |state, now| state.grant(ttl, now)))
            .await
    }

    async fn renew(&self, lease: LeaseId, while_held: Option<Held>) -> Result<Renewal, StoreError> {
        self.calls
            .ask(move |desk| {
                desk.write(Sync::Lease, |state, now| state.renew(lease, while_held.as_ref(), now))
            })
            .await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.calls
            .ask(move |desk| desk.write(Sync::Lease, |state, now| state.revoke(lease, now)))
            .await
    }

    async fn changed(&self, since: u64) -> Result<(), StoreError> {
        let mut seen = self.seen.subscribe();
        while seen.borrow_and_update().revision <= since {
            // The sender lives in `self`.
            let _ = seen.changed().await;
            if let Some(trouble) = &seen.borrow().trouble {
                return Err(trouble.clone());
            }
        }
        Ok(())
    }
}

/// A transaction that puts nothing but leased keys needs no fsync: what a power failure could
/// take from it would be gone after the restart anyway.
fn needed_sync(txn: &Txn) -> Sync {
    let leased = |op: &Op| matches!(op, Op::Put { lease: Some(_), .. });
    if txn.ops.iter().all(leased) { Sync::Lease } else { Sync::Record }
}
