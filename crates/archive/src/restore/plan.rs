//! What a restore needs: which backup, over which timelines, and which WAL; or why there is no way.
//!
//! ```text
//! backup (timeline 1) ──WAL of 1──► fork ──WAL of 3──► target
//! ```
//! Decided before anything is touched. Of several backups that would do the newest is taken; where
//! nobody knows whether a target lies before it, the oldest whose WAL has no hole.

use std::collections::BTreeMap;
use std::fmt;

use howdah_base::{History, Lsn, Position, Timeline};

/// Where recovery is to stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// At the end of the WAL that is there.
    Latest,
    /// As soon as the copy is consistent.
    Immediate,
    /// Before the first commit after this moment, milliseconds since 1970 (UTC).
    Time(u64),
    Lsn(Lsn),
    /// Of a transaction; as the server writes it, without the epoch.
    Xid(u32),
    /// Of a restore point (`pg_create_restore_point`).
    Name(String),
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    pub target: Target,
    /// The newest when `None`.
    pub timeline: Option<Timeline>,
    /// The label of a backup that is to be taken.
    pub backup: Option<String>,
}

/// A backup, as far as it counts here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupFacts {
    pub label: String,
    /// Where its WAL begins.
    pub start: Position,
    /// Where it is consistent.
    pub stop: Position,
    /// When it was complete, milliseconds since 1970.
    pub stopped_at: u64,
}

/// What a repository holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Holding {
    pub backups: Vec<BackupFacts>,
    /// Of every timeline that WAL is there of; the first needs none.
    pub histories: BTreeMap<Timeline, History>,
    /// Pieces of WAL without a hole, by their timelines, in order.
    pub wal: BTreeMap<Timeline, Vec<(Lsn, Lsn)>>,
}

/// The way to the target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub backup: String,
    /// The timeline to recover along.
    pub timeline: Timeline,
    /// WAL that is read, timeline by timeline.
    pub wal: Vec<(Timeline, Lsn, Lsn)>,
    /// Whether recovery may end before the WAL does.
    pub stops_early: bool,
}

impl Plan {
    /// Bytes of WAL at most.
    pub fn wal_bytes(&self) -> u64 {
        self.wal.iter().map(|(_, from, to)| to.bytes_past(*from)).sum()
    }
}

/// Why there is no way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    NoBackup,
    UnknownBackup {
        label: String,
    },
    UnknownTimeline {
        timeline: Timeline,
    },
    /// The backup that was named was made on a branch that does not lead there.
    OtherBranch {
        label: String,
        timeline: Timeline,
    },
    /// No backup is that old.
    BeforeFirst {
        first: String,
        stopped_at: u64,
        stop: Lsn,
    },
    /// The backup that was named is consistent only later.
    BackupIsLater {
        label: String,
        stopped_at: u64,
        stop: Lsn,
    },
    /// WAL is missing on the way.
    Gap {
        timeline: Timeline,
        from: Lsn,
        to: Lsn,
    },
    /// The target lies behind all WAL.
    BeyondEnd {
        end: Position,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoBackup => f.write_str("no backup of this cluster leads there"),
            Refusal::UnknownBackup { label } => write!(f, "no such backup: `{label}`"),
            Refusal::UnknownTimeline { timeline } => write!(f, "no such timeline: `{timeline}`"),
            Refusal::OtherBranch { label, timeline } => {
                write!(f, "from backup `{label}` no way leads to timeline `{timeline}`")
            }
            Refusal::BeforeFirst { first, stop, .. } => {
                write!(
                    f,
                    "the target lies before the oldest backup, `{first}`, which was complete at `{stop}`"
                )
            }
            Refusal::BackupIsLater { label, stop, .. } => {
                write!(f, "the target lies before backup `{label}` was complete at `{stop}`")
            }
            Refusal::Gap { timeline, from, to } => {
                write!(f, "WAL is missing on timeline {timeline}, from {from} to `{to}`")
            }
            Refusal::BeyondEnd { end } => write!(f, "the WAL ends before the target, at `{end}`"),
        }
    }
}

/// The way to what is asked for.
///
/// # Errors
/// There is none; nothing may be touched.
pub fn plan(holding: &Holding, wish: &Wish) -> Result<Plan, Refusal> {
    if holding.backups.is_empty() {
        return Err(Refusal::NoBackup);
    }
    let history = history(holding, wish)?;
    let backup = choose(holding, wish, &history)?;
    let wal = coverage(holding, wish, &history, backup)?;
    Ok(Plan {
        backup: backup.label.clone(),
        timeline: history.timeline,
        wal,
        stops_early: wish.target != Target::Latest,
    })
}

fn history(holding: &Holding, wish: &Wish) -> Result<History, Refusal> {
    let newest = || {
        let of_wal = holding.wal.keys().next_back().copied();
        let of_backups = holding.backups.iter().map(|backup| backup.start.timeline).max();
        of_wal.max(of_backups).unwrap_or(Timeline(1))
    };
    let timeline = wish.timeline.unwrap_or_else(newest);
    match holding.histories.get(&timeline) {
        Some(history) => Ok(history.clone()),
        None if timeline == Timeline(1) => Ok(History::root(timeline)),
        None => Err(Refusal::UnknownTimeline { timeline }),
    }
}

fn choose<'h>(
    holding: &'h Holding,
    wish: &Wish,
    history: &History,
) -> Result<&'h BackupFacts, Refusal> {
    // It was consistent before its timeline was left.
    let leads = |backup: &BackupFacts| history.contains(backup.stop);
    let later = |backup: &BackupFacts| match wish.target {
        Target::Time(moment) => backup.stopped_at > moment,
        Target::Lsn(lsn) => backup.stop.lsn > lsn,
        _ => false,
    };
    if let Some(label) = &wish.backup {
        let named = holding.backups.iter().find(|backup| backup.label == *label);
        let backup = named.ok_or_else(|| Refusal::UnknownBackup { label: label.clone() })?;
        let (label, stop, stopped_at) = (label.clone(), backup.stop.lsn, backup.stopped_at);
        if !leads(backup) {
            return Err(Refusal::OtherBranch { label, timeline: history.timeline });
        }
        return match later(backup) {
            true => Err(Refusal::BackupIsLater { label, stop, stopped_at }),
            false => Ok(backup),
        };
    }
    let mut leading: Vec<_> = holding.backups.iter().filter(|backup| leads(backup)).collect();
    leading.sort_by_key(|backup| (backup.stop.lsn, backup.stopped_at));
    let first = leading.first().ok_or(Refusal::NoBackup)?;
    let chosen = match wish.target {
        // Where they lie is known only when they are met: the longest way without a hole is taken.
        Target::Xid(_) | Target::Name(_) => return longest(holding, history, &leading),
        _ => leading.iter().rev().find(|backup| !later(backup)),
    };
    let (stop, stopped_at) = (first.stop.lsn, first.stopped_at);
    let refused = || Refusal::BeforeFirst { first: first.label.clone(), stop, stopped_at };
    chosen.copied().ok_or_else(refused)
}

/// The oldest backup from which WAL is whole to its end.
fn longest<'h>(
    holding: &'h Holding,
    history: &History,
    leading: &[&'h BackupFacts],
) -> Result<&'h BackupFacts, Refusal> {
    let all = Wish { target: Target::Latest, timeline: None, backup: None };
    let mut hole = Refusal::NoBackup;
    for backup in leading {
        match coverage(holding, &all, history, backup) {
            Ok(_) => return Ok(backup),
            Err(refusal) => hole = refusal,
        }
    }
    Err(hole)
}

/// The WAL from the backup on, without a hole up to where it is consistent and to the target.
fn coverage(
    holding: &Holding,
    wish: &Wish,
    history: &History,
    backup: &BackupFacts,
) -> Result<Vec<(Timeline, Lsn, Lsn)>, Refusal> {
    let needed = match wish.target {
        Target::Immediate => Some(backup.stop.lsn),
        Target::Lsn(lsn) => Some(lsn),
        _ => None,
    };
    // Where it lies is known only when it is met; PostgreSQL says so where it is not.
    let is_open = matches!(wish.target, Target::Time(_) | Target::Xid(_) | Target::Name(_));
    let mut wal = Vec::new();
    let mut from = backup.start.lsn;
    let path = history.forks.iter().map(|(timeline, fork)| (*timeline, Some(*fork)));
    let path = path.chain([(history.timeline, None)]);
    for (timeline, fork) in path.skip_while(|(timeline, _)| *timeline != backup.start.timeline) {
        let end = fork.into_iter().chain(needed).min();
        let there = match reaches(holding, timeline, from) {
            there if fork.is_some_and(|fork| taken_along(holding, history, there, fork)) => {
                fork.unwrap_or(there)
            }
            there => there,
        };
        let to = there.min(end.unwrap_or(there));
        let next = next_piece(holding, timeline, there);
        // The backup's own, which it is inconsistent without.
        let own = fork.map_or(backup.stop.lsn, |fork| fork.min(backup.stop.lsn));
        if there < own {
            let to = next.unwrap_or(own).min(own);
            return Err(Refusal::Gap { timeline, from: there, to });
        }
        if let Some(end) = end.filter(|end| there < *end && !is_open) {
            return Err(match next {
                None if fork.is_none() => {
                    Refusal::BeyondEnd { end: Position { timeline, lsn: there } }
                }
                next => {
                    Refusal::Gap { timeline, from: there, to: next.map_or(end, |n| n.min(end)) }
                }
            });
        }
        // To the end of what there is: a hole behind it is somebody's lost WAL, not the end.
        if let (None, Some(next), false) = (end, next, is_open) {
            return Err(Refusal::Gap { timeline, from: there, to: next });
        }
        wal.push((timeline, from, to));
        from = to;
        let ends_here = end.is_some_and(|end| there < end) || end.is_none();
        if ends_here || needed == Some(to) && fork.is_none_or(|fork| to < fork) {
            break;
        }
    }
    Ok(wal)
}

/// How far the WAL goes from `from` without a hole.
fn reaches(holding: &Holding, timeline: Timeline, from: Lsn) -> Lsn {
    let pieces = holding.wal.get(&timeline).map_or(&[][..], Vec::as_slice);
    pieces.iter().fold(from, |at, (begin, end)| if *begin <= at { at.max(*end) } else { at })
}

/// Whether a later timeline has what is missing up to `fork`: it begins with a copy of the segment in
/// which it left, and PostgreSQL reads that one first.
fn taken_along(holding: &Holding, history: &History, from: Lsn, fork: Lsn) -> bool {
    let passed = history.forks.iter().skip_while(|(_, left)| *left < fork).skip(1);
    let later = passed.map(|(timeline, _)| *timeline).chain([history.timeline]);
    let pieces = later.filter_map(|timeline| holding.wal.get(&timeline)).flatten();
    pieces.into_iter().any(|(begin, end)| *begin <= from && fork <= *end)
}

/// Where WAL begins again behind a hole.
fn next_piece(holding: &Holding, timeline: Timeline, after: Lsn) -> Option<Lsn> {
    let pieces = holding.wal.get(&timeline)?;
    pieces.iter().map(|(begin, _)| *begin).find(|begin| *begin > after)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
