//! What was found of a backup, as the repository keeps it: verified, drilled; and of the key, that
//! somebody has a copy of it. Fields are added, never renamed (docs/repository.md).

pub mod green;
mod keep;
mod lately;
mod missing;

use serde::{Deserialize, Serialize};

pub use keep::{Known, keep, known, note_export, was_exported};
pub use lately::Lately;
pub use missing::{Missing, missing, note_commit, put_back};

/// One finding.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Proof {
    /// When it was found, unix milliseconds.
    pub at_ms: i64,
    /// The machine that looked.
    pub by: String,
    #[serde(flatten)]
    pub found: Found,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Found {
    Verified(Verified),
    Drilled(Box<Drilled>),
    /// The backup was complete: where its manifest is gone, somebody took it away.
    Committed,
    /// The repository's key was given out to be kept elsewhere.
    Exported,
    /// What a newer Howdah has found.
    #[serde(other)]
    Unknown,
}

/// Objects were read and held against their hashes.
#[derive(Clone, PartialEq, Serialize, Deserialize, Default, Debug)]
pub struct Verified {
    pub passed: bool,
    /// How much of the frames and of the WAL was opened; lists and indexes are always.
    pub percent: f64,
    pub took_ms: u64,
    #[serde(default)]
    pub counts: Counts,
    /// The first of them.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// How many there are.
    #[serde(default)]
    pub faults_total: u64,
}

/// What was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, Debug)]
pub struct Counts {
    pub packs: u64,
    pub frames: u64,
    /// Plain bytes of frames.
    pub bytes: u64,
    /// Files that were put together and held against their hashes.
    pub files: u64,
    /// Segments of WAL that were opened.
    pub segments: u64,
}

/// Something that is not as it was written, and what follows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Fault {
    /// The object's name in the repository, or a file's path in the backup.
    pub object: String,
    pub what: String,
    pub means: String,
    pub next: String,
}

/// A backup was restored and started.
#[derive(Clone, PartialEq, Serialize, Deserialize, Default, Debug)]
pub struct Drilled {
    pub passed: bool,
    /// As `--to` takes it.
    pub target: String,
    /// From a commit until the repository held its WAL; without a canary it is not known.
    #[serde(default)]
    pub rpo_ms: Option<u64>,
    /// How much WAL the repository lacked when the drill began.
    #[serde(default)]
    pub behind_bytes: Option<u64>,
    /// From the beginning of the restore until the copy answered.
    #[serde(default)]
    pub rto_ms: Option<u64>,
    /// Its parts: files written, WAL replayed; then what the checks took.
    #[serde(default)]
    pub restored_ms: Option<u64>,
    #[serde(default)]
    pub replayed_ms: Option<u64>,
    #[serde(default)]
    pub checks_ms: Option<u64>,
    /// Of files.
    #[serde(default)]
    pub bytes: u64,
    /// Of WAL at most, as planned.
    #[serde(default)]
    pub wal_bytes: u64,
    #[serde(default)]
    pub checks: Vec<Check>,
    /// What the copy was started without.
    #[serde(default)]
    pub left_out: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Check {
    pub name: String,
    pub outcome: Outcome,
    pub said: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Passed,
    Failed,
    /// It could not be looked at; `said` tells why.
    NotChecked,
}

/// The check that a row which was written for this drill is in the copy.
pub const CANARY: &str = "canary";

impl Check {
    pub fn passed(name: &str, said: impl Into<String>) -> Check {
        Check { name: name.to_owned(), outcome: Outcome::Passed, said: said.into() }
    }

    pub fn failed(name: &str, said: impl Into<String>) -> Check {
        Check { name: name.to_owned(), outcome: Outcome::Failed, said: said.into() }
    }

    pub fn not_checked(name: &str, said: impl Into<String>) -> Check {
        Check { name: name.to_owned(), outcome: Outcome::NotChecked, said: said.into() }
    }
}

impl Drilled {
    /// The first check that failed.
    pub fn why_red(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.outcome == Outcome::Failed)
    }

    /// Whether a row that was committed for it came through.
    pub fn saw_canary(&self) -> bool {
        let seen = |check: &Check| check.name == CANARY && check.outcome == Outcome::Passed;
        self.checks.iter().any(seen)
    }
}
