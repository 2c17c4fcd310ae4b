//! What an operator sees of backups, and what a primary says of the WAL that it ships.

use serde::{Deserialize, Serialize};

/// How far the repository is behind the primary, as that one says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Archived {
    /// WAL that is flushed and not in the repository yet; `None`: not known yet.
    pub behind_bytes: Option<u64>,
    /// By when the oldest of it was written, wall clock, milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
    /// It does not get there at all.
    pub failing: bool,
}

/// The repository as one node saw it last.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Backups {
    /// When it was looked at, milliseconds since 1970; zero: not yet.
    pub seen_unix_ms: u64,
    pub backups: u64,
    /// All packs together.
    pub stored_bytes: u64,
    /// Ranges of WAL that are missing for good.
    pub gaps: u64,
    pub last: Option<LastBackup>,
    pub running: Option<BackupRun>,
    /// In the order of time.
    pub next: Vec<NextRun>,
    /// The last that came to an end.
    pub drill: Option<BackupRun>,
    /// The last that failed.
    pub failed: Option<BackupRun>,
    pub wal: Option<Archived>,
}

/// The backup that was complete last.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LastBackup {
    pub label: String,
    pub started_unix_ms: u64,
    pub stopped_unix_ms: u64,
    /// Of the files.
    pub bytes: u64,
    /// What it added to the repository.
    pub stored_bytes: u64,
}

/// Something that is done by the schedule.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupRun {
    /// `backup`, `full`, `verify`, `drill` or `expire`.
    pub task: String,
    pub node: String,
    pub begun_unix_ms: u64,
    pub ended_unix_ms: Option<u64>,
    /// `done`, `failed` or `interrupted`, once it has ended.
    pub outcome: Option<String>,
    pub why: String,
    pub label: Option<String>,
    /// What a drill measured.
    pub rpo_ms: Option<u64>,
    pub rto_ms: Option<u64>,
}

/// What comes next of a task.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NextRun {
    pub task: String,
    pub at_unix_ms: u64,
}
