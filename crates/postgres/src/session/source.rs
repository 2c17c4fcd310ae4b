//! What a backup has to know of the server that it is taken from.
//!
//! Source: PostgreSQL documentation, "Preset Options", "Control Data Functions".

use howdah_base::Timeline;
use tokio_postgres::SimpleQueryMessage;

use super::{ANSWER_WITHIN, Session};
use crate::PgError;

/// A server, as far as its files depend on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFacts {
    /// As `server_version_num` says it.
    pub version: u32,
    pub system_identifier: u64,
    pub in_recovery: bool,
    /// Bytes of WAL that a standby has not replayed of what its sender has; `None` where nobody
    /// sends it any.
    pub behind: Option<u64>,
    /// Whether its pages have checksums, all of them.
    pub checksums: bool,
    /// Whether a page on which only hints have changed goes into WAL, too (`wal_log_hints`).
    pub logs_hints: bool,
    pub page_bytes: u32,
    /// Of a relation's file, until the next one begins.
    pub pages_per_file: u32,
    pub wal_segment_bytes: u64,
}

impl SourceFacts {
    pub fn major(&self) -> u32 {
        self.version / 10_000
    }
}

const FACTS: &str = "select current_setting('server_version_num'), \
    (select system_identifier::text from pg_catalog.pg_control_system()), \
    pg_catalog.pg_is_in_recovery()::text, current_setting('data_checksums'), \
    current_setting('block_size'), \
    (select setting from pg_catalog.pg_settings where name = 'segment_size'), \
    (select setting from pg_catalog.pg_settings where name = 'wal_segment_size'), \
    (select greatest(0, latest_end_lsn - coalesce(pg_catalog.pg_last_wal_replay_lsn(), '0/0'))::bigint \
    from pg_catalog.pg_stat_wal_receiver where status = 'streaming'), \
    current_setting('wal_log_hints')";

impl Session {
    pub async fn source_facts(&self) -> Result<SourceFacts, PgError> {
        let messages = self.within(ANSWER_WITHIN, FACTS).await?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.ok_or_else(|| PgError::Unexpected("the server gave no row".to_owned()))?;
        let text = |column: usize| row.get(column).unwrap_or_default();
        let number = |column: usize| {
            let bad = || PgError::Unexpected(format!("not a number: `{}`", text(column)));
            text(column).parse::<u64>().map_err(|_| bad())
        };
        let small = |column| {
            let wide = |_| PgError::Unexpected("a number is too large".to_owned());
            number(column).and_then(|number| u32::try_from(number).map_err(wide))
        };
        Ok(SourceFacts {
            version: small(0)?,
            system_identifier: number(1)?,
            in_recovery: text(2) == "true",
            behind: row.get(7).and_then(|bytes| bytes.parse().ok()),
            checksums: text(3) == "on",
            logs_hints: text(3) == "on" || text(8) == "on",
            page_bytes: small(4)?,
            pages_per_file: small(5)?,
            wal_segment_bytes: number(6)?,
        })
    }

    /// The timeline that it writes, or that it has replayed to.
    pub async fn newest_timeline(&self) -> Result<Timeline, PgError> {
        let sql = "select case when pg_catalog.pg_is_in_recovery() \
            then greatest(c.timeline_id, r.min_recovery_end_timeline) \
            else ('x' || substr(pg_catalog.pg_walfile_name(\
            pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int end::text \
            from pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_control_recovery() r";
        let text = self.text(sql).await?;
        let bad = |_| PgError::Unexpected(format!("not a timeline: `{text}`"));
        text.parse().map(Timeline).map_err(bad)
    }
}
