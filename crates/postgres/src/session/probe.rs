//! The probe: one query, one row, all that the agent looks at.

use std::collections::BTreeMap;

use howdah_base::record::Archiver;
use howdah_base::{Lsn, Position, Timeline};
use serde::Deserialize;
use tokio_postgres::Row;

use crate::PgError;

/// What the server says of itself.
#[derive(Clone, PartialEq, Debug)]
pub struct Probe {
    pub in_recovery: bool,
    pub timeline: Timeline,
    /// Flushed on a primary; received and flushed, or replayed, on a standby.
    flushed: Option<Lsn>,
    pub replayed: Option<Lsn>,
    pub receiver: Option<Receiver>,
    pub senders: Vec<Sender>,
    pub slots: Vec<Slot>,
    pub system_identifier: u64,
    pub pending_restart: Vec<String>,
    /// Values in force of what a standby must not undercut, by name.
    pub sizes: BTreeMap<String, u64>,
    /// When the postmaster was started, milliseconds since 1970.
    pub started_unix_ms: Option<u64>,
    pub version: String,
    /// Age of the last replayed transaction while there is something to replay.
    pub replay_lag_ms: Option<u64>,
    /// Of a primary with `archive_mode`.
    pub archiver: Option<Archiver>,
    /// Of a primary: transactions that have run for longer than 10 seconds.
    pub long_transactions: u32,
}

/// `pg_stat_wal_receiver`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Receiver {
    pub status: String,
    pub slot: Option<String>,
    pub timeline: Option<u32>,
    pub flushed: Option<Lsn>,
    /// When the last message came, as text: a process that is frozen stays with one.
    pub heard: Option<String>,
    /// `wal_receiver_timeout`, milliseconds; 0 for none.
    pub timeout_ms: u64,
}

/// A row of `pg_stat_replication`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Sender {
    pub application_name: String,
    pub state: String,
    pub flush: Option<Lsn>,
    pub replay: Option<Lsn>,
    pub sync_priority: i32,
    /// When the standby sent its last reply, as text and by its own clock.
    pub heard: Option<String>,
    /// `wal_sender_timeout`, milliseconds; 0 for none.
    pub timeout_ms: u64,
}

/// A row of `pg_replication_slots` that stays (a temporary one is its session's own).
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Slot {
    pub name: String,
    pub physical: bool,
    pub active: bool,
    pub restart_lsn: Option<Lsn>,
    /// Of a logical one: its consumer has everything before this.
    pub confirmed: Option<Lsn>,
    /// Of a logical one: the database in which it decodes.
    pub database: Option<String>,
    /// PostgreSQL itself keeps it on standbys (17 and later).
    pub kept: bool,
}

/// One row of text and JSON. The timeline of a primary is in the name of the WAL file that it
/// writes. A standby's is the one that it receives; without a receiver it is the highest in the
/// names of its WAL files, which were written under the timeline that was received, while the
/// control file tells of a new timeline only much later (at the next restartpoint).
pub const SQL: &str = "
with r as materialized (select pg_is_in_recovery() as standby)
select r.standby,
  (case when r.standby then (select max(('x' || substr(name, 1, 8))::bit(32)::int) from pg_ls_waldir()
     where name ~ '^[0-9A-F]{24}$')
   else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int end) as timeline,
  (select timeline_id from pg_control_checkpoint()) as checkpoint_timeline,
  (case when r.standby then pg_last_wal_receive_lsn() else pg_current_wal_flush_lsn() end)::text as flushed,
  (case when r.standby then pg_last_wal_replay_lsn() end)::text as replayed,
  (select json_build_object('status', status, 'slot', slot_name, 'timeline', received_tli,
     'flushed', flushed_lsn, 'heard', last_msg_receipt_time, 'timeout_ms',
     (select setting::bigint from pg_settings where name = 'wal_receiver_timeout'))::text
     from pg_stat_wal_receiver limit 1) as receiver,
  (select json_agg(json_build_object('application_name', application_name, 'state', state,
     'flush', flush_lsn, 'replay', replay_lsn, 'sync_priority', sync_priority, 'heard', reply_time,
     'timeout_ms', (select setting::bigint from pg_settings where name = 'wal_sender_timeout')))::text
     from pg_stat_replication) as senders,
  (select json_agg(json_build_object('name', slot_name, 'physical', slot_type = 'physical',
     'active', active, 'restart_lsn', restart_lsn, 'confirmed', confirmed_flush_lsn,
     'database', database,
     'kept', coalesce((to_jsonb(s) ->> 'failover')::boolean, false)))::text
     from pg_replication_slots s where not temporary) as slots,
  (select system_identifier from pg_control_system())::text as system_identifier,
  (select json_agg(name order by name)::text from pg_settings where pending_restart) as pending,
  json_build_object(
    'max_connections', current_setting('max_connections')::bigint,
    'max_locks_per_transaction', current_setting('max_locks_per_transaction')::bigint,
    'max_prepared_transactions', current_setting('max_prepared_transactions')::bigint,
    'max_wal_senders', current_setting('max_wal_senders')::bigint,
    'max_worker_processes', current_setting('max_worker_processes')::bigint)::text as sizes,
  (extract(epoch from pg_postmaster_start_time()) * 1000)::bigint as started,
  split_part(current_setting('server_version'), ' ', 1) as version,
  (case when r.standby and pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()
   then greatest(0, extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::bigint
   when r.standby then 0 end) as replay_lag_ms,
  (case when not r.standby and current_setting('archive_mode') <> 'off' then
     (select json_build_object('failing',
        coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false),
        'waiting', (select count(*) from pg_ls_archive_statusdir() where name like '%.ready'))::text
      from pg_stat_archiver) end) as archiver,
  (case when not r.standby then (select count(*) from pg_stat_activity
     where backend_type = 'client backend' and pid <> pg_backend_pid()
     and xact_start < clock_timestamp() - interval '10 s') else 0 end) as long_transactions
from r";

pub(super) fn read(row: &Row) -> Result<Probe, PgError> {
    let in_recovery: bool = row.try_get("standby")?;
    let receiver: Option<Receiver> = json(row, "receiver")?;
    let own: Option<i32> = row.try_get("timeline")?;
    let checkpoint: i32 = row.try_get("checkpoint_timeline")?;
    let received = receiver.as_ref().and_then(|r| r.timeline).unwrap_or(0);
    let own = own.and_then(|t| u32::try_from(t).ok()).unwrap_or(0);
    // A standby's control file lags behind; a primary's own word is the truth.
    let timeline = if in_recovery {
        match received {
            0 => own.max(u32::try_from(checkpoint).unwrap_or(0)),
            received => received,
        }
    } else {
        own
    };
    let identifier: String = row.try_get("system_identifier")?;
    let lag: Option<i64> = row.try_get("replay_lag_ms")?;
    let started: Option<i64> = row.try_get("started")?;
    let long: i64 = row.try_get("long_transactions")?;
    Ok(Probe {
        in_recovery,
        timeline: Timeline(timeline),
        flushed: lsn(row, "flushed")?,
        replayed: lsn(row, "replayed")?,
        receiver,
        senders: json(row, "senders")?.unwrap_or_default(),
        slots: json(row, "slots")?.unwrap_or_default(),
        // The function gives a signed number for what is an unsigned one.
        system_identifier: identifier
            .parse::<i64>()
            .map(i64::cast_unsigned)
            .map_err(|e| PgError::Unexpected(e.to_string()))?,
        pending_restart: json(row, "pending")?.unwrap_or_default(),
        sizes: json(row, "sizes")?.unwrap_or_default(),
        started_unix_ms: started.and_then(|ms| u64::try_from(ms).ok()),
        version: row.try_get("version")?,
        replay_lag_ms: lag.and_then(|ms| u64::try_from(ms).ok()),
        archiver: json(row, "archiver")?,
        long_transactions: u32::try_from(long).unwrap_or(u32::MAX),
    })
}

impl Probe {
    /// What this server holds: flushed WAL. A standby without a receiver holds what it has
    /// replayed at least; exactly is known only from its disk, once it is down.
    pub fn position(&self) -> Position {
        let lsn = self.flushed.max(self.replayed).unwrap_or_default();
        Position { timeline: self.timeline, lsn }
    }
}

fn lsn(row: &Row, column: &str) -> Result<Option<Lsn>, PgError> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(super::parse_lsn).transpose()
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> Result<Option<T>, PgError> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(text).map_err(|e| PgError::Unexpected(e.to_string())))
        .transpose()
}
