//! A node's disk: the data directory with its WAL, and what the agent keeps beside it.
//!
//! An LSN is a count of records: `Lsn(n)` is the end of the n-th.

use std::collections::BTreeSet;

use howdah_base::record::Revocation;
use howdah_base::{DirectoryId, History, Lsn, NodeName, Position, Term, Tick, Timeline};
use howdah_ha::{Attempts, Directory, DirectoryFacts};

/// One WAL record; a client's commit carries the number of its row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub timeline: Timeline,
    pub row: Option<u64>,
}

/// What survives the end of every process of the node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub data: Option<Data>,
    /// A copy or rewind was begun and has not been completed.
    pub unusable: bool,
    pub conf: Conf,
    /// What the node has promised: it outlives agent and host.
    pub promise: Revocation,
    pub held_back_until: Option<Tick>,
    pub attempts: Attempts,
}

/// PGDATA.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub id: DirectoryId,
    pub system_identifier: u64,
    pub fresh: bool,
    pub standby_signal: bool,
    pub clean: bool,
    pub history: History,
    /// Flushed WAL.
    pub log: Vec<Record>,
    pub slots: BTreeSet<String>,
    /// Nobody has the WAL any more that it needs next.
    pub wal_gone: bool,
}

/// How the agent has configured the server, as in its `conf.json`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Conf {
    pub standby: bool,
    pub upstream: Option<(NodeName, Term)>,
    pub setting: Setting,
    pub gate_open: bool,
}

/// `synchronous_standby_names`: `ANY needed (names)`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Setting {
    pub names: BTreeSet<DirectoryId>,
    pub needed: u32,
}

impl Data {
    pub fn end(&self) -> Position {
        Position { timeline: self.history.timeline, lsn: Lsn(self.log.len() as u64) }
    }

    pub fn holds(&self, row: u64, lsn: u64) -> bool {
        let at = lsn.checked_sub(1).and_then(|at| self.log.get(at as usize));
        at.is_some_and(|record| record.row == Some(row))
    }
}

impl Disk {
    /// As the agent reads it.
    pub fn directory(&self) -> Directory {
        let Some(data) = &self.data else { return Directory::Missing };
        if self.unusable {
            return Directory::Unusable("an operation was interrupted".to_owned());
        }
        Directory::Ready(DirectoryFacts {
            id: data.id.clone(),
            system_identifier: data.system_identifier,
            fresh: data.fresh,
            was_primary: !data.standby_signal,
            clean: data.clean,
            history: data.history.clone(),
        })
    }
}

/// The part of `history` that a log of `len` records has reached.
pub(crate) fn reached(history: &History, len: u64) -> History {
    let before = history.forks.iter().position(|(_, fork)| len < fork.0);
    match before {
        Some(at) => History { timeline: history.forks[at].0, forks: history.forks[..at].to_vec() },
        None => history.clone(),
    }
}
