//! One connection to the file, and the two kinds of transaction that are made on it.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::Tick;
use rusqlite::{Connection, TransactionBehavior};

use super::bell::Bell;
use super::place::Place;
use super::{fault, rows};
use crate::state::State;
use crate::{Snapshot, StoreError};

/// What a commit waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sync {
    /// Nothing: only leases and what hangs on them.
    Lease,
    /// The disk.
    Record,
}

/// A connection of one thread.
#[derive(Debug)]
pub(super) struct Desk {
    place: Arc<Place>,
    db: Connection,
    sync: Sync,
    bell: Bell,
}

impl Desk {
    /// A connection to the file as it is.
    pub(super) fn open(place: Arc<Place>) -> Result<Desk, StoreError> {
        let db = connect(&place).map_err(|e| fault::judge(&place.file, &e))?;
        let bell = Bell::of(&place.bell);
        Ok(Desk { place, db, sync: Sync::Record, bell })
    }

    /// Makes the tables where there are none, looks whether the file is sound, and ends the
    /// leases of another boot.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        let path = self.place.file.clone();
        self.make_tables().map_err(|e| fault::judge(&path, &e))?;
        self.check()?;
        self.end_other_boots().map_err(|e| fault::judge(&path, &e))
    }

    /// Everything as it stands now. Only a lease that is due makes this a write.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot, StoreError> {
        let state = self.judged(|desk| {
            let txn = desk.db.transaction()?;
            rows::load(&txn)
        })?;
        let now = (self.place.options.now)();
        if state.next_expiry().is_none_or(|ends| ends > now) {
            return Ok(state.snapshot());
        }
        self.write(Sync::Lease, |state, now| {
            state.expire(now);
            state.snapshot()
        })
    }

    /// One call on the state, as one transaction.
    pub(super) fn write<T>(
        &mut self,
        sync: Sync,
        act: impl FnOnce(&mut State, Tick) -> T,
    ) -> Result<T, StoreError> {
        self.judged(|desk| {
            desk.set_sync(sync)?;
            let txn = desk.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Read under the lock: a call that waited is judged by when it is applied.
            let now = (desk.place.options.now)();
            let before = rows::load(&txn)?;
            let mut state = before.clone();
            let answer = act(&mut state, now);
            rows::save(&txn, &before, &state)?;
            txn.commit()?;
            desk.bell.ring();
            Ok(answer)
        })
    }

    /// The revision, and when the next lease ends.
    pub(super) fn glance(&mut self) -> Result<(u64, Option<Tick>), StoreError> {
        self.judged(|desk| rows::glance(&desk.db))
    }

    /// A number that differs once another connection has changed the file.
    pub(super) fn others_version(&mut self) -> Result<i64, StoreError> {
        self.judged(|desk| {
            desk.db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
        })
    }

    /// Copies the WAL into the file as far as no reader needs it, without keeping writers out.
    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.judged(|desk| desk.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())))
    }

    fn judged<T>(
        &mut self,
        act: impl FnOnce(&mut Desk) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let answer = act(self);
        answer.map_err(|e| fault::judge(&self.place.file, &e))
    }

    /// Not possible within a transaction, hence known before it begins.
    fn set_sync(&mut self, sync: Sync) -> rusqlite::Result<()> {
        if self.sync != sync {
            let level = match sync {
                Sync::Lease => "NORMAL",
                Sync::Record => "FULL",
            };
            self.db.pragma_update(None, "synchronous", level)?;
            self.sync = sync;
        }
        Ok(())
    }

    fn make_tables(&mut self) -> rusqlite::Result<()> {
        if version(&self.db)? != 0 {
            return Ok(());
        }
        let txn = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have made them while this one waited.
        if version(&txn)? == 0 {
            txn.execute_batch(rows::SCHEMA)?;
        }
        txn.commit()
    }

    fn check(&mut self) -> Result<(), StoreError> {
        let found = self.judged(|desk| version(&desk.db))?;
        if found != rows::VERSION {
            return Err(fault::newer(&self.place.file, found));
        }
        let sql = "PRAGMA quick_check(1)";
        let verdict: String = self.judged(|desk| desk.db.query_row(sql, [], |row| row.get(0)))?;
        if verdict == "ok" { Ok(()) } else { Err(fault::damaged(&self.place.file, verdict)) }
    }

    fn end_other_boots(&mut self) -> rusqlite::Result<()> {
        let boot_id = self.place.options.boot_id.clone();
        let txn = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if rows::boot_id(&txn)? != boot_id {
            let before = rows::load(&txn)?;
            let mut state = before.clone();
            state.end_all_leases();
            rows::save(&txn, &before, &state)?;
            rows::set_boot_id(&txn, &boot_id)?;
        }
        txn.commit()
    }
}

fn connect(place: &Place) -> rusqlite::Result<Connection> {
    let db = Connection::open(&place.file)?;
    db.busy_timeout(BUSY_MAX)?;
    // `tidy` does it, so that no caller waits for the fsync of a checkpoint.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Whoever starts the WAL anew cuts the file, or `tidy` would take it for long for ever.
    db.pragma_update(None, "journal_size_limit", 0)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    Ok(db)
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// How long a transaction waits for another process's.
const BUSY_MAX: Duration = Duration::from_secs(1);
