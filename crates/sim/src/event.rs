//! What can happen, in the order in which it happens.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use std::time::Duration;

use howdah_base::record::Revocation;
use howdah_base::{NodeName, Term, Tick};
use howdah_ha::{Directory, Running};
use howdah_store::{Held, LeaseId, Renewal, Snapshot, Txn, TxnOutcome};

use crate::stream::ConnId;

/// One happening.
#[derive(Debug)]
pub(crate) enum Event {
    /// For the agent of a node, if it is still the one that it was meant for.
    Agent {
        node: usize,
        incarnation: u64,
        what: ForAgent,
    },
    /// A node's question reaches the store.
    AtStore {
        node: usize,
        incarnation: u64,
        call: u64,
        ask: Ask,
    },
    /// For the server of a node, if it is still the one that it was meant for.
    Server {
        node: usize,
        epoch: u64,
        what: ForServer,
    },
    /// The guard of a node has something to do, by its own clock.
    Guard {
        node: usize,
    },
    /// Something may have arrived on a connection.
    Deliver(ConnId),
    /// Both ends of a connection say that they live.
    Beat(ConnId),
    Client(usize),
    Fault(usize),
    FaultOver(usize),
    /// Only the clock moves: a lease may end.
    Nothing,
}

#[derive(Debug)]
pub(crate) enum ForAgent {
    Wake(u64),
    Answer {
        call: u64,
        answer: Option<Answer>,
    },
    /// The store has changed.
    Changed,
    Poll,
    Probe,
    Read {
        asked_at: Tick,
    },
    Probed {
        facts: Option<Box<Facts>>,
        asked_at: Tick,
    },
    ReadDisk,
    /// What lay in the directory, and when it was read.
    Disk(Box<Directory>, u64),
    Exited,
    Alive,
    JobStep(u64),
    /// A write that was given up ends.
    LatePromise(Revocation),
    /// Another leader asks this node to wait, at its own `asked_at`.
    Pleaded {
        from: usize,
        term: Term,
        asked_at: Tick,
    },
    /// What a node has promised this leader.
    Promised {
        by: NodeName,
        term: Term,
        length: Duration,
        asked_at: Tick,
    },
}

#[derive(Debug)]
pub(crate) enum ForServer {
    /// Recovery is over: it takes connections.
    Ready,
    Flushed,
    /// The checkpointer has read the setting.
    Checkpointer,
    /// A WAL sender has read the setting.
    SenderReloaded(ConnId),
    /// The startup process has read the upstream.
    Upstream,
    Connect,
    Replayed(u64),
    Promoted,
    /// A checkpoint has been written.
    Checkpointed,
    /// Have all receivers got everything?
    ShutDown,
    /// No process is left.
    Gone,
}

/// What the server says of itself, and the slots of the leader's term.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub running: Running,
    pub started_unix_ms: u64,
    pub slots: Vec<String>,
}

/// A question to the store.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Snapshot,
    Txn(Txn),
    Grant,
    Renew(LeaseId, Option<Held>),
}

#[derive(Debug)]
pub(crate) enum Answer {
    Snapshot(Arc<Snapshot>),
    Txn(TxnOutcome),
    Granted(LeaseId),
    Renewed(Renewal),
}

/// Events by time; those of one moment in the order in which they were caused.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Due>,
    count: u64,
}

#[derive(Debug)]
struct Due {
    at: u64,
    number: u64,
    event: Event,
}

impl Queue {
    pub fn push(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.heap.push(Due { at, number: self.count, event });
    }

    pub fn pop(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|due| (due.at, due.event))
    }
}

impl Ord for Due {
    /// The heap gives the greatest first: that is the one due first.
    fn cmp(&self, other: &Due) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}
