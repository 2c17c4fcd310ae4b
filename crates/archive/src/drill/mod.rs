//! A rehearsal: a backup is restored beside the running cluster, started apart from it, and looked at.
//!
//! ```text
//! canary on the primary ─► its WAL is in the repository: RPO
//!        └─► plan ─► files ─► server alone, replays, answers: RTO ─► checks ─► ends ─► proof
//! ```
//! Whatever fails turns it red and is written down as a check of that name. The copy goes with whoever
//! holds the future: server first, folder then.

mod canary;
mod checks;
mod config;
mod copy;
mod place;
mod room;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use howdah_postgres::install::Install;
use howdah_repo::name::Label;
use howdah_repo::{Lineage, RepoError};
use thiserror::Error;
use tokio::sync::watch;

pub use canary::Primary;
pub use checks::UserCheck;

use crate::proof::{CANARY, Check, Drilled, Found, Outcome, Proof, keep};
use crate::restore::holding;
use crate::restore::plan::{BackupFacts, Holding, Plan, Target, Wish, plan};
use crate::restore::write::Progress as Restored;
use crate::ship::ShipError;
use place::Place;

/// How a drill is done.
#[derive(Clone, Debug)]
pub struct Options {
    /// The newest that leads to the target when `None`.
    pub label: Option<Label>,
    pub target: Target,
    /// The same in the operator's words.
    pub target_words: String,
    /// Where the canary is written; `None`: there is none, and the recovery point is not known.
    pub primary: Option<Primary>,
    /// How long the repository may take to hold its WAL.
    pub wal_within: Duration,
    /// The copy lies below it.
    pub scratch: PathBuf,
    /// Whether the copy stays.
    pub keep: bool,
    pub jobs: usize,
    /// As the parameter is written.
    pub restore_command: String,
    /// Servers that are installed here, of which the backup's major is taken.
    pub installs: Vec<Install>,
    /// From its start until the copy answers, and for the checks once more.
    pub within: Duration,
    pub preload: Vec<String>,
    pub checks: Vec<UserCheck>,
    /// This machine, for the proof.
    pub by: String,
}

/// Why there was no drill at all.
#[derive(Debug, Error)]
pub enum DrillError {
    #[error(transparent)]
    Repository(#[from] RepoError),
    #[error(transparent)]
    Wal(#[from] ShipError),
    #[error("there is no backup\nhint: howdah backup")]
    NoBackup,
    #[error("no such backup: `{0}`\nhint: howdah backups")]
    Unknown(String),
    #[error("{0}")]
    Scratch(String),
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Phase {
    #[default]
    Canary,
    Planning,
    Restoring,
    Replaying,
    Checking,
    Ending,
}

/// What an operator is told meanwhile.
#[derive(Debug)]
pub struct Told {
    pub phase: watch::Sender<Phase>,
    pub restored: watch::Sender<Restored>,
}

/// How it ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    pub label: String,
    pub drilled: Drilled,
    /// The copy, where it was to stay.
    pub kept: Option<PathBuf>,
}

/// Drills, and keeps what was found in the repository. A drill that failed is `Ok` and says so.
pub async fn drill(
    lineage: &Lineage,
    options: &Options,
    told: &Told,
    now_ms: impl Fn() -> i64,
) -> Result<Report, DrillError> {
    let place = Place::take(&options.scratch).map_err(DrillError::Scratch)?;
    let mut found = Drilled { target: options.target_words.clone(), ..Drilled::default() };
    // Before anything is written: a cluster without a backup has no use for a canary.
    subject(&holding::look(lineage).await?, options)?;
    let canary = canary::send(lineage, options, &mut found).await;
    told.phase.send_replace(Phase::Planning);
    let held = holding::look(lineage).await?;
    let subject = subject(&held, options)?;
    let wish = Wish {
        target: options.target.clone(),
        timeline: None,
        backup: options.label.as_ref().map(Label::to_string),
    };
    let (label, kept) = match plan(&held, &wish) {
        Err(refusal) => {
            found.checks.push(Check::failed("plan", refusal.to_string()));
            (subject.label.clone(), None)
        }
        Ok(plan) => {
            let token = canary.as_ref().map(|canary| canary.token.as_str());
            let kept = rehearse(lineage, options, &plan, place, token, told, &mut found).await;
            (plan.backup, kept)
        }
    };
    found.passed = found.checks.iter().all(|check| check.outcome != Outcome::Failed);
    let proof = Proof {
        at_ms: now_ms(),
        by: options.by.clone(),
        found: Found::Drilled(Box::new(found.clone())),
    };
    keep(lineage, &label.parse()?, &proof).await?;
    Ok(Report { label, drilled: found, kept })
}

/// The backup that a drill without a way is held against.
fn subject<'h>(held: &'h Holding, options: &Options) -> Result<&'h BackupFacts, DrillError> {
    let newest = held.backups.iter().max_by_key(|backup| backup.stopped_at);
    let newest = newest.ok_or(DrillError::NoBackup)?;
    let Some(label) = &options.label else { return Ok(newest) };
    let named = held.backups.iter().find(|backup| backup.label == label.as_str());
    named.ok_or_else(|| DrillError::Unknown(label.to_string()))
}

/// Restores, starts, checks and ends; what went wrong is among the checks.
async fn rehearse(
    lineage: &Lineage,
    options: &Options,
    plan: &Plan,
    place: Place,
    token: Option<&str>,
    told: &Told,
    found: &mut Drilled,
) -> Option<PathBuf> {
    let begun = Instant::now();
    found.wal_bytes = plan.wal_bytes();
    let ended = async {
        told.phase.send_replace(Phase::Restoring);
        let copy = copy::restore(lineage, options, plan, &place, told, found).await?;
        found.restored_ms = Some(millis(begun.elapsed()));
        told.phase.send_replace(Phase::Replaying);
        let replaying = Instant::now();
        let server = copy::start(options, &copy, &place).await?;
        found.replayed_ms = Some(millis(replaying.elapsed()));
        found.rto_ms = Some(millis(begun.elapsed()));
        told.phase.send_replace(Phase::Checking);
        let checking = Instant::now();
        let until = tokio::time::Instant::now() + options.within;
        let looked = checks::all(options, &copy, &place, token, &mut found.checks);
        let in_time = tokio::time::timeout_at(until, looked).await;
        if in_time.is_err() {
            let what = format!("they were not done within {:?}", options.within);
            found.checks.push(Check::failed("checks", what));
        }
        told.phase.send_replace(Phase::Ending);
        let stopped = server.stop(STOP_WITHIN).await;
        if let Err(error) = stopped {
            found.checks.push(Check::failed("shutdown", error.to_string()));
        } else if in_time.is_ok() {
            let sums = tokio::time::timeout_at(until, checks::page_checksums(&copy));
            let late = || Check::failed("page checksums", "it took too long");
            found.checks.push(sums.await.unwrap_or_else(|_| late()));
        }
        found.checks_ms = Some(millis(checking.elapsed()));
        Ok::<(), Check>(())
    };
    // The disk may be the primary's.
    let folder = place.at("");
    let ended = tokio::select! {
        ended = ended => ended,
        short = room::runs_out(&folder) => Err(short),
    };
    if let Err(failed) = ended {
        found.checks.push(failed);
    }
    match options.keep {
        true => Some(place.keep()),
        false => {
            if let Err(error) = place.clear() {
                found.checks.push(Check::failed("tidying up", error));
            }
            None
        }
    }
}

/// A server whose checkpoint has much to write takes a while.
const STOP_WITHIN: Duration = Duration::from_secs(300);

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
