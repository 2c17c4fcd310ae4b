//! A row on the primary, and how long its WAL takes into the repository: the recovery point, measured.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use howdah_base::{Lsn, Timeline, WalFile};
use howdah_postgres::session::{Canary, Session};
use howdah_repo::{Lineage, RepoError};
use tokio::time::sleep;

use super::{CANARY, Check, Drilled, Options, Target, millis};

/// The server that commits it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Primary {
    /// The folder of its Unix socket.
    pub socket_dir: PathBuf,
    pub port: u16,
    /// Random, letters and digits.
    pub token: String,
}

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Writes it and waits; `None`: there is none to look for in the copy, and a check says why.
pub async fn send(lineage: &Lineage, options: &Options, found: &mut Drilled) -> Option<Canary> {
    let not_checked = |found: &mut Drilled, why: &str| {
        found.checks.push(Check::not_checked(CANARY, why));
        None
    };
    let Some(primary) = &options.primary else {
        return not_checked(found, "none was written");
    };
    if options.target != Target::Latest {
        return not_checked(found, "it would lie behind the target");
    }
    match write(lineage, options, primary, found).await {
        Ok(canary) => Some(canary),
        Err(why) => {
            found.checks.push(Check::failed(CANARY, why));
            None
        }
    }
}

async fn write(
    lineage: &Lineage,
    options: &Options,
    primary: &Primary,
    found: &mut Drilled,
) -> Result<Canary, String> {
    let failed = |error: &dyn std::fmt::Display| format!("it was not written: {error}");
    let session = Session::connect(&primary.socket_dir, primary.port, "postgres");
    let session = session.await.map_err(|error| failed(&error))?;
    let size = session.source_facts().await.map_err(|error| failed(&error))?.wal_segment_bytes;
    let timeline = session.newest_timeline().await.map_err(|error| failed(&error))?;
    let flushed = session.flushed().await.map_err(|error| failed(&error))?;
    let unread = |error: RepoError| format!("the repository cannot be asked for its WAL: {error}");
    let end = end(lineage, timeline, None, size).await.map_err(unread)?;
    found.behind_bytes = Some(flushed.bytes_past(end.unwrap_or_default()));
    let canary = session.write_canary(&primary.token).await.map_err(|error| failed(&error))?;
    let committed = Instant::now();
    let first = WalFile::of(canary.timeline, canary.lsn, size);
    loop {
        match self::end(lineage, canary.timeline, Some(&first), size).await {
            Ok(Some(end)) if end >= canary.lsn => break,
            Ok(_) => {}
            Err(error) => return Err(unread(error)),
        }
        if committed.elapsed() > options.wal_within {
            return Err(format!(
                "its WAL, up to {} on timeline {}, did not reach the repository within {} s; see the \
                 problems of howdah status",
                canary.lsn,
                canary.timeline,
                options.wal_within.as_secs()
            ));
        }
        sleep(LOOK_EVERY).await;
    }
    found.rpo_ms = Some(millis(committed.elapsed()));
    Ok(canary)
}

/// How far WAL of a timeline is there, from `first` on without a hole.
async fn end(
    lineage: &Lineage,
    timeline: Timeline,
    first: Option<&WalFile>,
    size: u64,
) -> Result<Option<Lsn>, RepoError> {
    let whole = u32::try_from(size).unwrap_or(u32::MAX);
    let mut end: Option<Lsn> = None;
    for listed in lineage.segments(timeline, first).await? {
        let Some(start) = listed.segment.start(size) else { continue };
        let joined = end.is_none_or(|end| end == start) || first.is_none();
        if joined {
            end = Some(Lsn(start.0 + u64::from(listed.reach(whole))));
        }
    }
    Ok(end)
}
