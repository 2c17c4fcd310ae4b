//! What a drill writes on the primary, and what it asks of a copy.

use std::time::Duration;

use howdah_base::{Lsn, Timeline};
use tokio_postgres::SimpleQueryMessage;

use super::{Session, literals, parse_lsn};
use crate::PgError;

/// A row that a restore has to bring back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Canary {
    /// Letters and digits.
    pub token: String,
    pub timeline: Timeline,
    /// Its commit lies before.
    pub lsn: Lsn,
}

/// Rows that are kept: one a drill.
const KEPT: u32 = 100;

/// A schema that somebody else made could have triggers that then run as the superuser.
const NOT_OURS: &str = "select count(*)::text from pg_catalog.pg_namespace n \
    left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = 'canary' \
    where n.nspname = 'howdah' and (pg_catalog.pg_get_userbyid(n.nspowner) <> current_user \
    or pg_catalog.pg_get_userbyid(c.relowner) <> current_user or c.relkind <> 'r')";

/// Its subscribers have no such table.
const PUBLISHED: &str = "select count(*)::text from pg_catalog.pg_publication where puballtables";

const MAKE: &str = "create schema if not exists howdah; \
    create table if not exists howdah.canary \
    (token text primary key, at timestamptz not null default pg_catalog.clock_timestamp())";

impl Session {
    /// How far the primary's WAL is on its disk.
    pub async fn flushed(&self) -> Result<Lsn, PgError> {
        parse_lsn(&self.text("select pg_catalog.pg_current_wal_flush_lsn()").await?)
    }

    /// Commits a row with `token`; legal on a primary, in the database `postgres`.
    pub async fn write_canary(&self, token: &str) -> Result<Canary, PgError> {
        self.run("set client_min_messages = warning").await?;
        for after in [false, true] {
            if self.text(NOT_OURS).await? != "0" {
                return Err(PgError::Unusable {
                    what: "the schema `howdah` of the database `postgres` is not the superuser's"
                        .to_owned(),
                    hint: "see who made it, and rename it: ALTER SCHEMA howdah RENAME TO ..."
                        .to_owned(),
                });
            }
            if !after {
                self.run(MAKE).await?;
            }
        }
        if self.text(PUBLISHED).await? != "0" {
            return Err(PgError::Unusable {
                what:
                    "the database `postgres` publishes all of its tables (FOR ALL TABLES), and a \
                       row of a drill would stop its subscribers"
                        .to_owned(),
                hint: "howdah drill restore --no-canary, or publish the tables by name".to_owned(),
            });
        }
        let quoted = literals(&[token.to_owned()]);
        self.run(&format!("insert into howdah.canary (token) values ({quoted})")).await?;
        let lsn = self.flushed().await?;
        let timeline = self.newest_timeline().await?;
        let old = format!(
            "delete from howdah.canary where at < \
             (select min(at) from (select at from howdah.canary order by at desc limit {KEPT}) kept)"
        );
        self.run(&old).await?;
        Ok(Canary { token: token.to_owned(), timeline, lsn })
    }

    /// Whether the row is here.
    pub async fn has_canary(&self, token: &str) -> Result<bool, PgError> {
        let there = "select (pg_catalog.to_regclass('howdah.canary') is not null)::text";
        if self.text(there).await? != "true" {
            return Ok(false);
        }
        let quoted = literals(&[token.to_owned()]);
        let count = format!("select count(*)::text from howdah.canary where token = {quoted}");
        Ok(self.text(&count).await? == "1")
    }

    pub async fn in_recovery(&self) -> Result<bool, PgError> {
        Ok(self.text("select pg_catalog.pg_is_in_recovery()::text").await? == "true")
    }

    /// The first column of the first row of whatever `sql` is; `None`: no row, or NULL.
    pub async fn first(&self, sql: &str, within: Duration) -> Result<Option<String>, PgError> {
        let messages = self.within(within, sql).await?;
        let first = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(first.and_then(|row| row.get(0)).map(str::to_owned))
    }

    /// The first column of all rows.
    pub async fn column(&self, sql: &str, within: Duration) -> Result<Vec<String>, PgError> {
        let messages = self.within(within, sql).await?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(rows.map(str::to_owned).collect())
    }
}
