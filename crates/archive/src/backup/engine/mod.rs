//! A backup of a running local server, primary or standby.
//!
//! ```text
//! begin ─► scan ─► copy, by threads ─► pg_control ─► stop ─► its WAL is there ─► manifest
//!   │session kept open────────────────────────────────┘                            │lease
//! ```
//! Until the manifest stands there is no backup; what is left of one that was given up, or dropped,
//! expiry sweeps.

mod commit;
mod control;
mod copy;
mod earlier;
mod error;
mod filler;
mod given_up;
mod large;
mod packs;
mod read;
mod since;
mod small;
mod throttle;
mod untouched;
mod wal;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use howdah_base::{History, Lsn, Timeline};
use howdah_postgres::PgError;
use howdah_postgres::session::{BackupEnd, Session, SourceFacts};
use howdah_repo::manifest::{About, BadPage};
use howdah_repo::name::{Family, Label};
use howdah_repo::{Lease, Lineage};
use tokio::runtime::Handle;
use tokio::sync::watch;

pub use error::BackupError;

use super::page::PAGE;
use super::scan::{self, Found};
use super::summaries::Changes;
use crate::stop::Stop;
use copy::Work;
use earlier::Earlier;
use given_up::GivenUp;
use packs::Packs;
use throttle::Throttle;

/// The server that a backup is taken from.
#[derive(Clone, Debug)]
pub struct Source {
    pub data_dir: PathBuf,
    /// The folder of its Unix socket.
    pub socket_dir: PathBuf,
    pub port: u16,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub label: Label,
    /// Threads that read, compress and seal.
    pub jobs: usize,
    /// What may be read a second, by all threads together.
    pub bytes_per_s: Option<u64>,
    /// Whether pages are kept that an earlier backup has.
    pub incremental: bool,
    /// Whether WAL summaries of the server, where it has them, tell which files are not read.
    pub summaries: bool,
    /// Of what they call unchanged, so much is read nevertheless, and one stretch of each file.
    pub audit_percent: u8,
    /// How long it waits for its WAL.
    pub wal_within: Duration,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    pub phase: Phase,
    /// Bytes of files that were read, and that there are.
    pub done: u64,
    pub total: u64,
    /// Bytes that the repository has taken.
    pub stored: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Phase {
    /// The server makes a checkpoint.
    #[default]
    Starting,
    Copying,
    Stopping,
    WaitingForWal,
    Committing,
    Done,
}

/// A backup that was committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    pub about: About,
    /// Pages that were damaged already; all that were found, up to 10 000.
    pub bad_pages: Vec<BadPage>,
    /// What is no file and was left out.
    pub left_out: Vec<PathBuf>,
    /// Bytes of files that a backup which was given up had stored.
    pub taken_over: u64,
    /// Whether the server's WAL summaries told what need not be read.
    pub by_summaries: bool,
    /// Pages that have changed though no WAL tells of it; they are stored as they are.
    pub silent_changes: Vec<BadPage>,
}

/// Takes a backup. Dropping the future gives it up.
///
/// `lease` is confirmed before the commit; whoever has it renews it meanwhile.
pub async fn back_up(
    lineage: &Lineage,
    lease: &Lease,
    source: &Source,
    options: &Options,
    told: &watch::Sender<Progress>,
) -> Result<Report, BackupError> {
    let stop = Stop::default();
    let _given_up = stop.on_drop();
    let begun = begin(lineage, source, options).await?;
    let found = look(&source.data_dir).await?;
    let start = &begun.start;
    let session = &begun.session;
    let earlier = earlier(lineage, options, start).await?;
    let changes = match &earlier {
        Some(earlier) if options.summaries => {
            since::changes(lineage, session, &earlier.about, start).await
        }
        _ => None,
    };
    let before = Before { earlier, changes };
    let data_dir = &source.data_dir;
    let work = prepare(lineage, data_dir, options, told, &stop, start, &found, before).await?;
    phase(told, Phase::Copying);
    copy::copy(&work, options.jobs).await?;
    control::copy(&work).await?;
    phase(told, Phase::Stopping);
    let packs = commit::finish(&work).await?;
    let end = begun.session.stop_backup(start.facts.major()).await;
    let end = end.map_err(|error| judge_end(error, &start.facts))?;
    let ended = end_of(lineage, &begun, end).await?;
    phase(told, Phase::WaitingForWal);
    let needed = wal::needed(&ended.history, ended.timeline, start.lsn, ended.end.stop);
    let segment = start.facts.wal_segment_bytes;
    wal::arrived(lineage, &needed, segment, options.wal_within).await?;
    phase(told, Phase::Committing);
    let report = commit::commit(lineage, lease, &work, start, &ended, found, packs).await?;
    phase(told, Phase::Done);
    Ok(report)
}

/// A backup that the server knows of, until the session ends.
struct Begun {
    session: Session,
    start: Start,
}

/// What the server says at the beginning.
struct Start {
    facts: SourceFacts,
    label: Label,
    history: History,
    lsn: Lsn,
    started_ms: i64,
}

/// What the server says at the end.
struct Ended {
    end: BackupEnd,
    /// Where its WAL begins.
    timeline: Timeline,
    /// Where it ends.
    stop_timeline: Timeline,
    /// Of the server at the end.
    history: History,
    stopped_ms: i64,
}

async fn begin(
    lineage: &Lineage,
    source: &Source,
    options: &Options,
) -> Result<Begun, BackupError> {
    let session = Session::connect(&source.socket_dir, source.port, "postgres").await?;
    let facts = session.source_facts().await?;
    if facts.page_bytes as usize != PAGE {
        return Err(BackupError::PageSize(facts.page_bytes));
    }
    let (server, lineage) = (facts.system_identifier, lineage.about().await?.system_identifier);
    if server != lineage {
        return Err(BackupError::OtherCluster { server, lineage });
    }
    let history = history(&session).await?;
    let started_ms = now_ms();
    let name = format!("howdah {}{}", options.label, untouched::place(&source.data_dir)?);
    let lsn = session.start_backup(&name, facts.major()).await?;
    let start = Start { facts, label: options.label.clone(), history, lsn, started_ms };
    Ok(Begun { session, start })
}

async fn history(session: &Session) -> Result<History, BackupError> {
    match session.newest_timeline().await? {
        Timeline(1) => Ok(History::root(Timeline(1))),
        timeline => Ok(session.history(timeline).await?),
    }
}

async fn look(data_dir: &Path) -> Result<Found, BackupError> {
    let data_dir = data_dir.to_owned();
    let looked = tokio::task::spawn_blocking(move || scan::scan(&data_dir)).await;
    let found = looked.map_err(|error| BackupError::Ended(error.to_string()))??;
    // The server's own sockets may be there, which nobody misses.
    for odd in found.odd.iter().filter(|odd| odd.is_symlink() || odd.to_str().is_none()) {
        tracing::warn!("a symlink or a name that is no text is not backed up: `{}`", odd.display());
    }
    Ok(found)
}

/// What there is to build on.
struct Before {
    earlier: Option<Earlier>,
    /// Since that one, where the server knows it.
    changes: Option<Changes>,
}

async fn earlier(
    lineage: &Lineage,
    options: &Options,
    start: &Start,
) -> Result<Option<Earlier>, BackupError> {
    match options.incremental {
        true => earlier::newest(lineage, &start.history, start.facts.system_identifier).await,
        false => Ok(None),
    }
}

#[expect(clippy::too_many_arguments, reason = "each is what it says, and they meet here only")]
async fn prepare(
    lineage: &Lineage,
    data_dir: &Path,
    options: &Options,
    told: &watch::Sender<Progress>,
    stop: &Stop,
    begun: &Start,
    found: &Found,
    before: Before,
) -> Result<Arc<Work>, BackupError> {
    let Before { earlier, changes } = before;
    let tells_silent = begun.facts.logs_hints
        && earlier.as_ref().is_some_and(|earlier| untouched::is_of(&earlier.about, data_dir));
    let handle = Handle::current();
    let given_up = given_up::look(lineage, &options.label, now_ms()).await?;
    let packs = |family, known| Packs::new(lineage, &options.label, family, &handle, stop, known);
    // Maps name packs by their labels: no two backups have the same.
    let (data, maps) = (packs(Family::Pack, given_up), packs(Family::Map, GivenUp::default()));
    let total = found.files.iter().map(|file| file.size).sum();
    told.send_modify(|progress| progress.total = total);
    Ok(Arc::new(Work {
        data_dir: data_dir.to_owned(),
        start: begun.lsn,
        checksums: begun.facts.checksums,
        pages_per_file: begun.facts.pages_per_file,
        entries: found.files.clone(),
        earlier,
        tells_silent,
        changes,
        audit_percent: options.audit_percent,
        label: options.label.clone(),
        data,
        maps,
        throttle: Throttle::new(options.bytes_per_s),
        stop: stop.clone(),
        handle,
        told: told.clone(),
        out: Mutex::default(),
    }))
}

/// A standby that was promoted has no end of a backup.
fn judge_end(error: PgError, facts: &SourceFacts) -> BackupError {
    match error.is_refused(NOT_IN_PREREQUISITE_STATE) && facts.in_recovery {
        true => BackupError::Promoted,
        false => error.into(),
    }
}

/// SQLSTATE `object_not_in_prerequisite_state`.
const NOT_IN_PREREQUISITE_STATE: &str = "55000";

/// The label says on which timeline its WAL begins; a standby may have followed to another since.
async fn end_of(lineage: &Lineage, begun: &Begun, end: BackupEnd) -> Result<Ended, BackupError> {
    let stopped_ms = now_ms();
    let line = end.label.lines().find_map(|line| line.strip_prefix("START TIMELINE: "));
    let timeline = line.and_then(|number| number.trim().parse().ok()).map(Timeline);
    let timeline = timeline.unwrap_or(begun.start.history.timeline);
    let history = history(&begun.session).await?;
    let passed = history.forks.iter().skip_while(|(passed, _)| *passed != timeline);
    let stop_timeline = passed.clone().find(|(_, fork)| end.stop <= *fork);
    let stop_timeline = stop_timeline.map_or(history.timeline, |(timeline, _)| *timeline);
    if stop_timeline != timeline {
        tracing::warn!("the server went from timeline {timeline} to {stop_timeline} meanwhile");
    }
    tracing::debug!("the backup ends at `{}` in lineage {}", end.stop, lineage.id());
    Ok(Ended { end, timeline, stop_timeline, history, stopped_ms })
}

fn phase(told: &watch::Sender<Progress>, phase: Phase) {
    tracing::debug!("backup: {phase:?}");
    told.send_modify(|progress| progress.phase = phase);
}

/// Milliseconds since 1970 by this machine's clock.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
