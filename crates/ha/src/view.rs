//! What a node knows at one moment: the immutable input of a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use howdah_base::record::{
    Handover, Initialize, Intent, Leader, Member, Order, Planned, Revocation, Sync,
};
use howdah_base::{DirectoryId, History, Lsn, NodeName, Position, Term, Tick, Timeline};

use crate::{Attempts, Disk};

/// One node's whole knowledge.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    pub me: NodeName,
    pub settings: Settings,
    pub store: StoreView,
    pub local: Local,
    /// The long operation that is running; one at a time.
    pub job: Option<Job>,
    pub failures: Failures,
    /// Wall clock, milliseconds since 1970: only for what an operator planned for a moment.
    pub wall_ms: u64,
}

/// What the cluster file says, as far as decisions depend on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub durability: Durability,
    /// Never stand alone: block commits instead.
    pub strict: bool,
    pub lease: Duration,
    pub renew: Duration,
    /// Taken off the lease for drift between clocks: the write deadline.
    pub margin: Duration,
    /// A server that accepts no connection, or answers on none, for this long hangs.
    pub hung_after: Duration,
    /// A disk that has not taken a small write for this long has stalled.
    pub disk_stalled_after: Duration,
    /// In `async`: WAL, in bytes, that a new primary may lack at most.
    pub max_lag_on_failover: u64,
    pub no_failover: bool,
    pub no_sync: bool,
    pub failover_priority: u32,
    /// Stream from this standby rather than from the leader, while it streams itself.
    pub replicate_from: Option<NodeName>,
    /// Standbys are made from the repository, if that comes off.
    pub standbys_from_repository: bool,
    /// Only this node may create the cluster; any when `None`.
    pub first_node: Option<NodeName>,
    /// This node has no PostgreSQL.
    pub witness: bool,
    /// The other nodes with data that the file names, alive or not.
    pub others: BTreeSet<NodeName>,
}

/// What a commit waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    Quorum,
    Async,
}

/// A record with the store's revision at which it was last written: what a transaction compares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versioned<T> {
    pub value: T,
    pub revision: u64,
}

/// The shared record as last read.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StoreView {
    /// The store answered the last question.
    pub reachable: bool,
    pub leader: Option<Versioned<Leader>>,
    /// The leader key hangs on this node's own lease.
    pub leader_mine: bool,
    /// Put anew at each renewal of the leader that it names.
    pub beat: Option<Versioned<Leader>>,
    /// The clock before the last successful renewal was sent: the right to write counts from it.
    pub renewed_at: Option<Tick>,
    /// Until when this node may write: the deadline that its guard was last told, in this life of
    /// the agent, after a renewal that had compared the leader key.
    pub held_until: Option<Tick>,
    /// A renewal is on its way.
    pub renewing: bool,
    pub term: Term,
    /// The highest timeline number ever reserved.
    pub timeline: Timeline,
    pub sync: Option<Versioned<Sync>>,
    pub handover: Option<Versioned<Handover>>,
    pub intent: Option<Versioned<Intent>>,
    pub initialize: Option<Initialize>,
    /// Who runs initdb now.
    pub initializing: Option<NodeName>,
    pub members: BTreeMap<NodeName, Member>,
    /// The revisions at which they were last written.
    pub member_revisions: BTreeMap<NodeName, u64>,
    pub paused: bool,
    /// Nodes whose servers are to stay down.
    pub fenced: BTreeSet<NodeName>,
    pub orders: BTreeMap<NodeName, Versioned<Order>>,
    pub planned: Option<Versioned<Planned>>,
    /// When terms began by failover, by the wall clock of who took over, milliseconds since 1970.
    pub failovers: Vec<u64>,
}

/// This node's own server and directory.
#[derive(Clone, PartialEq, Debug)]
pub struct Local {
    pub directory: Directory,
    /// The identity under which this node announces itself: its directory's, or the one that
    /// the next copy will get.
    pub announced: Option<DirectoryId>,
    pub server: Server,
    /// When the facts about the server were read.
    pub observed_at: Tick,
    /// End of the WAL on disk, its last complete record: read after the last process of the
    /// instance, or a standby's receiver, was gone; forgotten when more may come.
    pub end: Option<Position>,
    /// What this node has promised, as it stands on its disk.
    pub promise: Revocation,
    /// Until then this node takes part in no takeover: it has promised the leader so.
    pub held_back_until: Option<Tick>,
    /// Since when the leader has given no direct sign of life: it has not answered since, and
    /// nothing came from it. `None` while it does, and while nobody has asked.
    pub unheard: Option<Tick>,
    /// Where crash recovery would begin, read with `end`.
    pub redo: Option<Lsn>,
    /// Which WAL its pages need before they are consistent, read with `end`; none of a primary's.
    pub consistent: Option<Position>,
    /// The voters' setting in force, with its proof; `None` when it is not known.
    pub sync: Option<SyncSetting>,
    /// Clients are let in.
    pub gate_open: bool,
    /// Directories for which a slot of this term exists here.
    pub slots: BTreeSet<DirectoryId>,
    /// When the postmaster was started, by this node's wall clock, milliseconds since 1970.
    pub started_unix_ms: Option<u64>,
    /// Parameters wait for a restart.
    pub pending_restart: bool,
    /// PostgreSQL's version, such as `15.18`.
    pub version: Option<String>,
    /// How long the server's postmaster has accepted no connection without doing anything else,
    /// or nobody has been answered on any; zero when all is well.
    pub silent_for: Duration,
    pub disk: Disk,
    pub attempts: Attempts,
    /// As standby: its server says that the upstream has removed WAL that it needs.
    pub wal_gone: bool,
}

/// PGDATA.
#[derive(Clone, PartialEq, Debug)]
pub enum Directory {
    Missing,
    /// Must not be touched: another cluster's, another version's, not PostgreSQL's.
    Refused(String),
    /// A rewind or copy was interrupted: worthless until it is made anew.
    Unusable(String),
    Ready(DirectoryFacts),
}

/// A directory that can be started.
#[derive(Clone, PartialEq, Debug)]
pub struct DirectoryFacts {
    pub id: DirectoryId,
    pub system_identifier: u64,
    /// Fresh from initdb, not yet a cluster.
    pub fresh: bool,
    /// It was last a primary (no `standby.signal`); else a standby.
    pub was_primary: bool,
    /// The last shutdown was clean.
    pub clean: bool,
    pub history: History,
}

/// The server process.
#[derive(Clone, PartialEq, Debug)]
pub enum Server {
    /// No process of the instance is left.
    Down,
    Starting {
        as_primary: bool,
    },
    Running(Running),
    Stopping,
    /// There are processes, and they do not answer.
    Unknown {
        as_primary: bool,
    },
}

/// A server that answers.
#[derive(Clone, PartialEq, Debug)]
pub struct Running {
    pub primary: bool,
    pub history: History,
    /// Flushed WAL: the insert side on a primary, received or replayed on a standby.
    pub position: Position,
    pub replayed: Lsn,
    /// The upstream it is set to follow, and the term of the slot that it uses there.
    pub upstream: Option<(NodeName, Term)>,
    pub streaming: bool,
    /// Who streams from here.
    pub senders: Vec<Sender>,
}

/// A WAL sender of a standby of this cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sender {
    pub directory: DirectoryId,
    pub streaming: bool,
    pub flushed: Lsn,
}

/// `synchronous_standby_names` as proved to be in force (PROTOCOL section 3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncSetting {
    /// `ANY needed (names)`; empty names: no commit waits.
    pub names: BTreeSet<DirectoryId>,
    pub needed: u32,
    /// Insert LSN, read after the proof.
    pub since: Lsn,
}

/// Operations that take long; exactly one at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Job {
    /// A transaction on the store.
    Txn,
    Initdb,
    Copy,
    Rewind,
    ReadEnd,
    Start,
    Follow,
    /// Writing a promise down.
    Promise,
    /// WAL that the last primary's disk has and this standby lacks.
    Fetch,
    Promote,
    Stop,
    Switchover,
    SetSync,
    OpenGate,
    Slots,
    /// The cluster file's parameters and rules are being written.
    Configure,
}

/// As people read it: what is being done.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Job::Txn => "writing to the store",
            Job::Initdb => "creating the first directory",
            Job::Copy => "copying the directory",
            Job::Rewind => "rewinding the directory",
            Job::ReadEnd => "reading the end of the WAL",
            Job::Start => "starting the server",
            Job::Follow => "following another upstream",
            Job::Promise => "writing a promise down",
            Job::Fetch => "fetching WAL from the leader's disk",
            Job::Promote => "promoting the server",
            Job::Stop => "stopping the server",
            Job::Switchover => "the switchover",
            Job::SetSync => "setting the voters",
            Job::OpenGate => "letting clients in",
            Job::Slots => "keeping replication slots",
            Job::Configure => "writing the configuration",
        })
    }
}

/// How often an operation has failed since it last succeeded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Failures {
    pub counts: BTreeMap<Job, (u32, Tick)>,
}

/// Longest pause before a failed operation is tried again, seconds.
const BACKOFF_MAX_S: u64 = 30;
/// Before one is tried again that could not be tried.
const LATE_PAUSE: Duration = Duration::from_millis(200);

impl Failures {
    pub fn count(&self, job: Job) -> u32 {
        self.counts.get(&job).map_or(0, |(count, _)| *count)
    }

    pub fn record(&mut self, job: Job, now: Tick) {
        let entry = self.counts.entry(job).or_insert((0, now));
        *entry = (entry.0 + 1, now);
    }

    /// It could not be tried, because of something that is expected in a moment: it did not fail.
    pub fn late(&mut self, job: Job, now: Tick) {
        self.counts.entry(job).or_insert((0, now)).1 = now;
    }

    pub fn clear(&mut self, job: Job) {
        self.counts.remove(&job);
    }

    /// When the operation may be tried again: 1 s after the first failure, doubling.
    pub fn retry_at(&self, job: Job) -> Option<Tick> {
        let (count, at) = self.counts.get(&job)?;
        if *count == 0 {
            return Some(*at + LATE_PAUSE);
        }
        let pause = (1_u64 << (count - 1).min(6)).min(BACKOFF_MAX_S);
        Some(*at + Duration::from_secs(pause))
    }
}

impl View {
    pub fn leader(&self) -> Option<&Leader> {
        self.store.leader.as_ref().map(|l| &l.value)
    }

    pub fn sync(&self) -> Option<&Sync> {
        self.store.sync.as_ref().map(|s| &s.value)
    }

    /// What an operator asked of the cluster, unless its time has passed unbegun.
    pub fn intent(&self) -> Option<&Intent> {
        self.store.intent.as_ref().map(|intent| &intent.value).filter(|i| !self.is_late(i))
    }

    /// Whoever asked has been told that it was not done: so it must not be begun.
    pub fn is_late(&self, intent: &Intent) -> bool {
        !intent.sealed && intent.until_unix_ms.is_some_and(|until| until < self.wall_ms)
    }

    /// This node's directory, when it can be started.
    pub fn directory(&self) -> Option<&DirectoryFacts> {
        match &self.local.directory {
            Directory::Ready(facts) => Some(facts),
            _ => None,
        }
    }

    pub fn running(&self) -> Option<&Running> {
        match &self.local.server {
            Server::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Whether any process of this node's instance may accept writes.
    pub fn may_write(&self) -> bool {
        match &self.local.server {
            Server::Running(running) => running.primary,
            Server::Starting { as_primary } | Server::Unknown { as_primary } => *as_primary,
            Server::Down | Server::Stopping => false,
        }
    }

    /// Whether `facts` is a directory of this cluster. One that is still marked fresh may be:
    /// the answer that its cluster was recorded can get lost.
    pub fn is_ours(&self, facts: &DirectoryFacts) -> bool {
        let known = self.store.initialize.as_ref().map(|i| i.system_identifier);
        !facts.fresh || known == Some(facts.system_identifier)
    }

    /// A timeline number that no node has ever used: above the highest reserved, and above any
    /// that a promotion outside of Howdah may have made.
    pub fn next_timeline(&self) -> Timeline {
        let seen = self.store.members.values().filter_map(|m| m.history.as_ref());
        let highest = seen.map(|history| history.timeline).max().unwrap_or_default();
        Timeline(self.store.timeline.max(highest).0 + 1)
    }

    /// The member whose directory is `id`.
    pub fn member_of(&self, id: &DirectoryId) -> Option<&Member> {
        self.store.members.values().find(|m| m.directory.as_ref() == Some(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_tried_has_not_failed_and_is_tried_again_soon() {
        let mut failures = Failures::default();
        failures.late(Job::Start, Tick(1_000));
        assert_eq!(failures.count(Job::Start), 0);
        assert_eq!(failures.retry_at(Job::Start), Some(Tick(1_200)));
        failures.record(Job::Start, Tick(2_000));
        failures.late(Job::Start, Tick(5_000));
        assert_eq!(failures.count(Job::Start), 1);
        assert_eq!(failures.retry_at(Job::Start), Some(Tick(6_000)));
    }
}
