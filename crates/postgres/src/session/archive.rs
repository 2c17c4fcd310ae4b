//! What backups and shipped WAL ask of a server.
//!
//! Source: PostgreSQL documentation, "Making a Base Backup Using the Low Level API", "Backup Control
//! Functions"; names and arguments changed with 15 (`src/backend/catalog/system_functions.sql`).

use howdah_base::{Lsn, WalFile};

use tokio_postgres::SimpleQueryMessage;

use super::{CHECKPOINT_WITHIN, Session, parse_lsn};
use crate::PgError;

/// What a server says when a backup ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupEnd {
    pub stop: Lsn,
    /// The text of `backup_label`.
    pub label: String,
    /// The text of `tablespace_map`; empty without tablespaces.
    pub tablespaces: String,
}

impl Session {
    /// Where the WAL that the server still has begins, whatever its timeline.
    pub async fn oldest_wal(&self) -> Result<Lsn, PgError> {
        let name = self
            .text(
                "select name from pg_catalog.pg_ls_waldir() where name ~ '^[0-9A-F]{24}$' \
                 order by substr(name, 9) limit 1",
            )
            .await?;
        let size = self
            .text("select setting from pg_catalog.pg_settings where name = 'wal_segment_size'")
            .await?;
        let unexpected = || PgError::Unexpected(format!("no WAL is left, it says: `{name}`"));
        let file: WalFile = name.parse().map_err(|_| unexpected())?;
        let size = size.parse().map_err(|_| unexpected())?;
        file.start(size).ok_or_else(unexpected)
    }

    /// Begins a backup, with a checkpoint at once, and says where its WAL begins. It ends with this
    /// session, or by [`Session::stop_backup`].
    pub async fn start_backup(&self, label: &str, major: u32) -> Result<Lsn, PgError> {
        let label = label.replace('\'', "''");
        let sql = match major {
            ..15 => format!("select pg_catalog.pg_start_backup('{label}', true, false)::text"),
            _ => format!("select pg_catalog.pg_backup_start('{label}', true)::text"),
        };
        // Between two questions nothing may end it.
        self.run("set idle_session_timeout = 0").await?;
        let start = self.first_row(&sql).await?;
        parse_lsn(start.first().map_or("", String::as_str))
    }

    /// Ends the backup that this session began; whoever asks sees to the WAL.
    pub async fn stop_backup(&self, major: u32) -> Result<BackupEnd, PgError> {
        let sql = match major {
            ..15 => "pg_catalog.pg_stop_backup(false, false)",
            _ => "pg_catalog.pg_backup_stop(false)",
        };
        let sql = format!("select lsn::text, labelfile, coalesce(spcmapfile, '') from {sql}");
        let row = self.first_row(&sql).await?;
        let [stop, label, tablespaces] = <[String; 3]>::try_from(row)
            .map_err(|_| PgError::Unexpected("the end of a backup has three parts".to_owned()))?;
        Ok(BackupEnd { stop: parse_lsn(&stop)?, label, tablespaces })
    }

    /// Of a statement that may wait for a checkpoint.
    async fn first_row(&self, sql: &str) -> Result<Vec<String>, PgError> {
        let messages = self.within(CHECKPOINT_WITHIN, sql).await?;
        let first = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = first.ok_or_else(|| PgError::Unexpected("the server gave no row".to_owned()))?;
        Ok((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect())
    }
}
