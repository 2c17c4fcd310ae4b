//! What is done by itself: which task is due ([`due`]), which of its history stays ([`book::forget`]),
//! and that history as it stands in the repository ([`book`]). Who does it is the node's business.

pub mod book;
pub mod due;

use std::fmt;

use howdah_repo::manifest::About;
use howdah_repo::runs;

/// What can be done, the most urgent first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Task {
    /// A backup that stores all pages anew.
    Full,
    Backup,
    Expire,
    Drill,
    Verify,
}

impl Task {
    pub const ALL: [Task; 5] = [Task::Full, Task::Backup, Task::Expire, Task::Drill, Task::Verify];

    pub fn word(self) -> &'static str {
        match self {
            Task::Full => "full",
            Task::Backup => "backup",
            Task::Expire => "expire",
            Task::Drill => "drill",
            Task::Verify => "verify",
        }
    }

    /// `None`: a newer Howdah's.
    pub fn of(word: &str) -> Option<Task> {
        Task::ALL.into_iter().find(|task| task.word() == word)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    Done,
    Failed,
    /// Its node was shut down, promoted, or went away: another one goes on at once.
    Interrupted,
}

impl Outcome {
    pub const ALL: [Outcome; 3] = [Outcome::Done, Outcome::Failed, Outcome::Interrupted];

    pub fn word(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Interrupted => "interrupted",
        }
    }

    fn of(word: &str) -> Outcome {
        // A word of a newer Howdah is no success that this one could build on.
        Outcome::ALL.into_iter().find(|known| known.word() == word).unwrap_or(Outcome::Failed)
    }
}

/// A run of a task. Moments are milliseconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    pub number: u64,
    pub task: Task,
    pub node: String,
    pub begun: u64,
    /// `None`: it is under way.
    pub end: Option<End>,
}

/// The end of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    pub at: u64,
    pub outcome: Outcome,
    pub why: String,
    pub label: Option<String>,
    pub bytes: Option<u64>,
    pub rpo_ms: Option<u64>,
    pub rto_ms: Option<u64>,
}

impl Run {
    /// `None`: of a task that this Howdah does not know.
    fn of(run: &runs::Run) -> Option<Run> {
        let end = run.ended.as_ref().map(|ended| End {
            at: moment(ended.ended_ms),
            outcome: Outcome::of(&ended.outcome),
            why: ended.why.clone(),
            label: ended.label.clone(),
            bytes: ended.bytes,
            rpo_ms: ended.rpo_ms,
            rto_ms: ended.rto_ms,
        });
        Some(Run {
            number: run.number,
            task: Task::of(&run.begun.task)?,
            node: run.begun.node.clone(),
            begun: moment(run.begun.begun_ms),
            end,
        })
    }

    pub fn outcome(&self) -> Option<Outcome> {
        self.end.as_ref().map(|end| end.outcome)
    }

    fn is_done(&self) -> bool {
        self.outcome() == Some(Outcome::Done)
    }
}

/// A backup that is there, whoever made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    pub label: String,
    pub started: u64,
    pub stopped: u64,
    /// It goes on from no other.
    pub full: bool,
}

impl Made {
    fn of(about: &About) -> Made {
        Made {
            label: about.label.clone(),
            started: moment(about.started_ms),
            stopped: moment(about.stopped_ms),
            full: about.base.is_none(),
        }
    }
}

/// All that decisions are made from.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct History {
    /// The lineage was begun.
    pub since: u64,
    /// In the order of their ends.
    pub made: Vec<Made>,
    /// In the order of their beginnings.
    pub runs: Vec<Run>,
}

fn moment(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}
