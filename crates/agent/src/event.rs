//! Everything that can happen to an agent, in one closed list.

use std::time::Duration;

use howdah_base::ask::{Ask, Receipt, Refusal};
use howdah_base::{NodeName, Term, Tick};
use howdah_ha::{Job, SyncSetting};
use howdah_postgres::wal::Left;
use howdah_store::{LeaseId, Renewal, Snapshot, StoreError};
use tokio::sync::oneshot;

use crate::conf::ConfState;
use crate::grace::Pleaded;
use crate::heartbeat::Sign;
use crate::observe::{Disk, Facts};
use crate::promise::Promises;

/// One happening. The loop takes them in order and decides after each batch.
#[derive(Debug)]
pub(crate) enum Event {
    /// A new picture of the store, or that it does not answer.
    Store(Result<Snapshot, StoreError>),
    /// A lease was granted, its term counted from before the request was sent.
    Granted { lease: LeaseId, sent_at: Tick },
    /// There is no new lease.
    NotGranted(StoreError),
    /// The answer to a renewal of `lease` that was sent at `sent_at`; `held`: it compared the
    /// leader key.
    Renewed { lease: LeaseId, held: bool, result: Result<Renewal, StoreError>, sent_at: Tick },
    /// What the guard says.
    Guard(howdah_guard::Event),
    /// Whether a process of the instance is alive, asked of the guard.
    Alive { alive: bool, asked_at: Tick },
    /// What the server answered, asked at `asked_at`.
    Probed { facts: Result<Box<Facts>, String>, asked_at: Tick },
    /// How long the server has given no sign of life, asked at `asked_at`.
    Pulse { silent_for: Duration, asked_at: Tick },
    /// What the disks are fit for has changed.
    DiskTried,
    /// What lies in the data directory.
    Disk(Box<Disk>),
    /// The member record was written at this revision of the store, or its write has an unknown
    /// end.
    Published(Option<u64>),
    /// The leader was asked for a sign of life.
    Heard { leader: NodeName, sign: Sign, asked_at: Tick },
    /// A node was asked to wait while the store is away, at `asked_at`.
    Promised { node: NodeName, term: Term, word: Result<Duration, String>, asked_at: Tick },
    /// Another leader asks this node to wait.
    Pleaded(Pleaded),
    /// A long operation ended.
    Done { job: Job, outcome: Result<Box<Outcome>, String> },
    /// Work beside decisions ended: roles, databases, parameters.
    Applied { revision: u64, result: Result<Vec<String>, String> },
    /// An operator asks through the API.
    Asked(Asked),
    /// The node is to end with its server. `keep_lease`: the whole cluster is going down, so
    /// the lease is left to run out and nobody takes over meanwhile.
    Shutdown { keep_lease: bool },
}

/// What a long operation leaves behind for the loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// How the server is configured now.
    pub conf: Option<ConfState>,
    /// A setting of voters that was proved to be in force.
    pub sync: Option<SyncSetting>,
    /// What a stopped server has left on disk.
    pub left: Option<Left>,
    /// What was promised, durably.
    pub promises: Option<Promises>,
    /// The picture of the store that a transaction was refused by or has led to.
    pub snapshot: Option<Snapshot>,
    /// A lease that the store refuses as ended.
    pub lease_gone: Option<LeaseId>,
    /// It could not begin in time, and is to be tried again soon.
    pub late: bool,
    /// A sentence for the log.
    pub said: Option<String>,
}

/// A request of an operator, with the way back.
#[derive(Debug)]
pub struct Asked {
    pub what: Ask,
    pub by: String,
    pub reply: oneshot::Sender<Result<Receipt, Refusal>>,
}
