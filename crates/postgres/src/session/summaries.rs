//! What the server itself knows of the blocks that WAL has changed, from version 17 on.
//!
//! Source: PostgreSQL documentation, "WAL Summarization Information Functions"; `summarize_wal`;
//! `src/backend/backup/walsummaryfuncs.c`.

use std::time::Duration;

use howdah_base::{Lsn, Timeline};
use tokio_postgres::SimpleQueryMessage;

use super::{ANSWER_WITHIN, Session, parse_lsn};
use crate::PgError;

/// One summary may be of many gigabytes of WAL.
const CONTENTS_WITHIN: Duration = Duration::from_secs(120);

/// WAL of which there is a summary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Summary {
    pub timeline: Timeline,
    pub from: Lsn,
    pub to: Lsn,
}

/// A fork of a relation; `relation` 0 stands for a whole database in a tablespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fork {
    pub tablespace: u32,
    pub database: u32,
    pub relation: u32,
    pub fork: u32,
}

/// What became of a fork.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It was made anew, or cut off, here: nothing from this block on is what it was.
    Limit(u32),
    /// Blocks have changed in this stretch of `per` blocks.
    Stretch(u32),
}

impl Session {
    /// Whether summaries are made at all.
    pub async fn summarizes_wal(&self) -> Result<bool, PgError> {
        Ok(self.text("select current_setting('summarize_wal', true)").await? == "on")
    }

    /// The summaries that there are, in order.
    pub async fn summaries(&self) -> Result<Vec<Summary>, PgError> {
        let sql = "select tli, start_lsn, end_lsn from pg_catalog.pg_available_wal_summaries()";
        let mut found = Vec::new();
        for message in self.within(ANSWER_WITHIN, sql).await? {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let text = |column: usize| row.get(column).unwrap_or_default();
            let timeline = text(0).parse().map(Timeline);
            let timeline = timeline.map_err(|_| PgError::Unexpected("no timeline".to_owned()))?;
            found.push(Summary { timeline, from: parse_lsn(text(1))?, to: parse_lsn(text(2))? });
        }
        found.sort_unstable();
        Ok(found)
    }

    /// What a summary says, in stretches of `per` blocks.
    pub async fn summary_contents(
        &self,
        of: &Summary,
        per: u32,
    ) -> Result<Vec<(Fork, Change)>, PgError> {
        let Summary { timeline, from, to } = of;
        let sql = format!(
            "select reltablespace, reldatabase, relfilenode, relforknumber, is_limit_block, \
             case when is_limit_block then relblocknumber else relblocknumber / {per} end as block \
             from pg_catalog.pg_wal_summary_contents({timeline}, '{from}', '{to}') \
             group by 1, 2, 3, 4, 5, 6",
        );
        let mut found = Vec::new();
        for message in self.within(CONTENTS_WITHIN, &sql).await? {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let number = |column: usize| {
                let text = row.get(column).unwrap_or_default();
                let bad = || PgError::Unexpected(format!("not a number: `{text}`"));
                text.parse::<u32>().map_err(|_| bad())
            };
            let fork = Fork {
                tablespace: number(0)?,
                database: number(1)?,
                relation: number(2)?,
                fork: number(3)?,
            };
            let block = number(5)?;
            let is_limit = row.get(4) == Some("t");
            found
                .push((fork, if is_limit { Change::Limit(block) } else { Change::Stretch(block) }));
        }
        Ok(found)
    }
}
