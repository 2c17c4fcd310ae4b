//! What the server says has changed since the earlier backup; nothing, where it does not know all of it.

use std::time::Duration;

use howdah_postgres::session::{Session, Summary};
use howdah_repo::Lineage;
use howdah_repo::manifest::About;
use tokio::time::{Instant, sleep};

use super::wal::{Needed, needed};
use super::{BackupError, Start};
use crate::backup::summaries::{Changes, Cover, STRETCH, cover};

/// The first version that summarizes WAL.
const MAJOR: u32 = 17;
/// The server summarizes up to the checkpoint that it has just made.
const WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// `None`: everything is read and compared.
pub async fn changes(
    lineage: &Lineage,
    session: &Session,
    earlier: &About,
    start: &Start,
) -> Option<Changes> {
    if start.facts.major() < MAJOR {
        return None;
    }
    match ask(lineage, session, earlier, start).await {
        Ok(Ok(changes)) => Some(changes),
        Ok(Err(why)) => {
            tracing::info!("all files are read and compared: {why}");
            None
        }
        Err(error) => {
            tracing::warn!("all files are read and compared, for WAL summaries fail: {error}");
            None
        }
    }
}

async fn ask(
    lineage: &Lineage,
    session: &Session,
    earlier: &About,
    start: &Start,
) -> Result<Result<Changes, String>, BackupError> {
    if !session.summarizes_wal().await? {
        return Ok(Err("`summarize_wal` is off".to_owned()));
    }
    // A server that lost WAL may have summarized what it no longer has, and not what it wrote instead.
    if lineage.gaps().await?.iter().any(|gap| gap.to > earlier.start_lsn) {
        return Ok(Err("WAL was lost since the backup before".to_owned()));
    }
    // PostgreSQL's own incremental backups refuse it too (`basebackup_incremental.c`): pages that the one
    // before has may be newer than where this one's recovery is consistent, on a standby that lags.
    if earlier.stop_lsn > start.lsn {
        return Ok(Err("the backup before ended behind where this one begins".to_owned()));
    }
    let stretches = needed(&start.history, earlier.timeline, earlier.start_lsn, start.lsn);
    let begun = Instant::now();
    let summaries = loop {
        let there = session.summaries().await?;
        match all(&there, &stretches) {
            Cover::Whole(summaries) => break summaries,
            Cover::Hole(at) => {
                return Ok(Err(format!(
                    "WAL from `{at}` on has not been summarized, or no longer is"
                )));
            }
            Cover::NotYet if begun.elapsed() > WITHIN => {
                return Ok(Err(format!("the server has not summarized WAL within {WITHIN:?}")));
            }
            Cover::NotYet => sleep(LOOK_EVERY).await,
        }
    };
    let mut changes = Changes::default();
    for summary in &summaries {
        for (fork, change) in session.summary_contents(summary, STRETCH).await? {
            changes.add(fork, change);
        }
    }
    Ok(Ok(changes))
}

/// Those that lead through all stretches.
fn all(there: &[Summary], stretches: &[Needed]) -> Cover {
    let mut found = Vec::new();
    for Needed { timeline, from, to } in stretches {
        match cover(there, *timeline, *from, *to) {
            Cover::Whole(summaries) => found.extend(summaries),
            other => return other,
        }
    }
    Cover::Whole(found)
}
