//! A [`State`] as rows: the schema, and loading and saving within a transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_base::Tick;
use rusqlite::{Connection, Row, params};

use crate::state::{Lease, State};
use crate::{Entry, LeaseId};

/// Written into the file's header; a file with a higher one is a newer howdah's.
pub(super) const VERSION: i64 = 1;

pub(super) const SCHEMA: &str = "
    CREATE TABLE meta (
        one             INTEGER PRIMARY KEY CHECK (one = 1),
        boot_id         TEXT NOT NULL,
        revision        INTEGER NOT NULL,
        leases_granted  INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE leases (
        id              INTEGER PRIMARY KEY,
        ttl_ms          INTEGER NOT NULL,
        ends_ms         INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE entries (
        key             TEXT PRIMARY KEY,
        value           TEXT NOT NULL,
        revision        INTEGER NOT NULL,
        lease           INTEGER
    ) STRICT;
    INSERT INTO meta VALUES (1, '', 0, 0);
    PRAGMA user_version = 1;
";

/// The boot whose clock the leases are counted by.
pub(super) fn boot_id(db: &Connection) -> rusqlite::Result<String> {
    db.query_row("SELECT boot_id FROM meta", [], |row| row.get(0))
}

pub(super) fn set_boot_id(db: &Connection, boot_id: &str) -> rusqlite::Result<()> {
    db.execute("UPDATE meta SET boot_id = ?1", [boot_id]).map(drop)
}

/// The revision, and when the next lease ends: what a watcher wants, without the values.
pub(super) fn glance(db: &Connection) -> rusqlite::Result<(u64, Option<Tick>)> {
    let sql = "SELECT revision, (SELECT min(ends_ms) FROM leases) FROM meta";
    db.prepare_cached(sql)?.query_row([], |row| {
        let ends: Option<i64> = row.get(1)?;
        Ok((number(row, 0)?, ends.map(|ms| Tick(ms.unsigned_abs()))))
    })
}

pub(super) fn load(db: &Connection) -> rusqlite::Result<State> {
    let (revision, leases_granted) = db
        .prepare_cached("SELECT revision, leases_granted FROM meta")?
        .query_row([], |row| Ok((number(row, 0)?, number(row, 1)?)))?;
    let leases = map(db, "SELECT id, ttl_ms, ends_ms FROM leases", |row| {
        let ttl = Duration::from_millis(number(row, 1)?);
        Ok((LeaseId(number(row, 0)?), Lease { ttl, ends: Tick(number(row, 2)?) }))
    })?;
    let entries = map(db, "SELECT key, value, revision, lease FROM entries", |row| {
        let lease: Option<i64> = row.get(3)?;
        let lease = lease.map(|id| LeaseId(id.unsigned_abs()));
        Ok((row.get(0)?, Entry { value: row.get(1)?, revision: number(row, 2)?, lease }))
    })?;
    Ok(State { revision, leases_granted, leases, entries })
}

/// Writes what differs between the two.
pub(super) fn save(db: &Connection, before: &State, after: &State) -> rusqlite::Result<()> {
    let counters = |state: &State| (state.revision, state.leases_granted);
    if counters(before) != counters(after) {
        db.prepare_cached("UPDATE meta SET revision = ?1, leases_granted = ?2")?
            .execute(params![integer(after.revision), integer(after.leases_granted)])?;
    }
    for id in gone(&before.leases, &after.leases) {
        db.prepare_cached("DELETE FROM leases WHERE id = ?1")?.execute([integer(id.0)])?;
    }
    for (id, lease) in fresh(&before.leases, &after.leases) {
        let ttl = i64::try_from(lease.ttl.as_millis()).unwrap_or(i64::MAX);
        db.prepare_cached("INSERT OR REPLACE INTO leases VALUES (?1, ?2, ?3)")?
            .execute(params![integer(id.0), ttl, integer(lease.ends.0)])?;
    }
    for key in gone(&before.entries, &after.entries) {
        db.prepare_cached("DELETE FROM entries WHERE key = ?1")?.execute([key])?;
    }
    for (key, entry) in fresh(&before.entries, &after.entries) {
        let lease = entry.lease.map(|id| integer(id.0));
        db.prepare_cached("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![key, entry.value, integer(entry.revision), lease])?;
    }
    Ok(())
}

fn gone<'a, K: Ord, V>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    before.keys().filter(|key| !after.contains_key(key))
}

fn fresh<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    after.iter().filter(|(key, value)| before.get(key) != Some(value))
}

fn map<K: Ord, V>(
    db: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<(K, V)>,
) -> rusqlite::Result<BTreeMap<K, V>> {
    db.prepare_cached(sql)?.query_map([], read)?.collect()
}

/// SQLite's integers are signed. Counters and clocks never come near the limit.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::unsigned_abs)
}
