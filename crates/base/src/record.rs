//! The cluster's shared record, as it stands in the store (PROTOCOL section 1).
//!
//! Each is a JSON value under one key and is changed only by compare-and-swap. Fields are
//! added, never renamed: a newer node reads an older node's record.

mod change;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::change::{Change, ChangeKind, HISTORY_LEN_MAX, NO_LOSS, Timings};
use crate::{ClusterName, DirectoryId, History, Lsn, NodeName, Position, Term};

/// The keys of the store, below the cluster's prefix.
pub mod key {
    /// [`super::Leader`], bound to the holder's lease: it vanishes when the lease ends.
    pub const LEADER: &str = "leader";
    /// [`super::Leader`], on no lease: put anew at each renewal of the leader, and gone when it
    /// has given its lease up. Each node sees by its own clock how long ago that was.
    pub const BEAT: &str = "beat";
    /// [`crate::Term`]: the highest ever given out.
    pub const TERM: &str = "term";
    /// [`crate::Timeline`]: the highest ever reserved.
    pub const TIMELINE: &str = "timeline";
    /// [`super::Sync`].
    pub const SYNC: &str = "sync";
    /// [`super::Handover`].
    pub const HANDOVER: &str = "handover";
    /// [`super::Intent`].
    pub const INTENT: &str = "intent";
    /// [`super::Answer`] to the last request.
    pub const ANSWER: &str = "answer";
    /// [`super::Initialize`].
    pub const INITIALIZE: &str = "initialize";
    /// [`super::Identity`]: whose store this is, written by whoever came first.
    pub const IDENTITY: &str = "identity";
    /// The right to run initdb, bound to the lease of the node that does: a [`crate::NodeName`].
    pub const INITIALIZING: &str = "initializing";
    /// A list of [`super::Change`], newest last, at most [`super::HISTORY_LEN_MAX`].
    pub const HISTORY: &str = "history";
    /// [`super::Pause`]: there while the cluster is paused.
    pub const PAUSE: &str = "pause";
    /// [`super::Planned`]: the switchover that is to come.
    pub const PLANNED: &str = "planned";
    /// [`super::PlannedRestart`] of a node's server: `restarts/<node>`.
    pub const RESTARTS: &str = "restarts/";
    /// [`super::Order`] to a node's own server: `orders/<node>`.
    pub const ORDERS: &str = "orders/";
    /// [`super::Answer`] to the last order to a node: `answers/<node>`.
    pub const ANSWERS: &str = "answers/";
    /// [`super::Fence`]: there while a node's server is to stay down: `fenced/<node>`.
    pub const FENCED: &str = "fenced/";
    /// [`super::Config`]: the cluster file in force.
    pub const CONFIG: &str = "config";
    /// The repository of the cluster's backups: where it is, and which it is. Howdah's archive reads
    /// and writes it; no decision about leading hangs on it.
    pub const REPOSITORY: &str = "repository";
    /// [`super::Member`] of each node, bound to its lease: `members/<node>`.
    pub const MEMBERS: &str = "members/";
}

/// Who may be primary, as long as the lease that this key is bound to lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Leader {
    pub node: NodeName,
    pub term: Term,
}

/// Which directories hold acknowledged commits.
///
/// Meaning: every commit acknowledged in `term` or any earlier term is at or before `floor`,
/// or is flushed on at least `needed` of `voters`; a voter counts only if it is past `floor`.
/// Without voters the leader stands alone: only its own directory has everything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sync {
    /// Counts the rewrites of this record.
    pub revision: u64,
    pub term: Term,
    pub leader: NodeName,
    /// The leader's own directory.
    pub directory: DirectoryId,
    pub floor: Position,
    pub voters: BTreeSet<DirectoryId>,
    pub needed: u32,
}

impl Sync {
    /// What ends the right of the leader's commits to be acknowledged, as this record stands.
    pub fn revocation(&self) -> Revocation {
        Revocation { term: self.term, revision: self.revision }
    }
}

/// The leader's offer to pass its term on, made when no process of its server is left
/// (PROTOCOL section 6).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Handover {
    pub term: Term,
    pub from: NodeName,
    pub to: NodeName,
    /// The end of the leader's WAL: its last complete record.
    pub end: Position,
    pub attempt: u32,
    /// WAL, bytes, that `to` had yet to fetch or to replay when this was offered.
    #[serde(default)]
    pub behind: u64,
}

/// What an operator asked for. One at a time; the leader removes it when it is done or refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// Drawn by the asker; tells two equal requests apart.
    pub id: String,
    pub kind: IntentKind,
    /// Who asked, for the history.
    pub by: String,
    /// The point of no return: the leader's server is being shut down for it.
    #[serde(default)]
    pub sealed: bool,
    /// Not begun after this moment of the wall clock, milliseconds since 1970: whoever asked has
    /// been told that it was not done.
    #[serde(default)]
    pub until_unix_ms: Option<u64>,
}

/// What became of a request that was refused or failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The request's id.
    pub id: String,
    pub why: String,
}

/// Nothing is promoted, started or stopped by itself. The right to write is as always: a
/// primary that loses its lease is ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pause {
    pub by: String,
    /// Wall clock, for display only: milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// A switchover that is to be asked for later. The leader makes an [`Intent`] of it, with the
/// same id, once its wall clock has passed `at_unix_ms`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Planned {
    pub id: String,
    pub to: Option<NodeName>,
    /// Wall clock, milliseconds since 1970.
    pub at_unix_ms: u64,
    pub by: String,
}

/// A restart of one node's server that is to come. The leader makes an [`Order`] of it, with the
/// same id, when its moment has come and every other server serves, and removes it when the server
/// serves again: so those that are planned for one moment come one after the other, whoever leads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlannedRestart {
    pub id: String,
    #[serde(default)]
    pub conditions: Conditions,
    pub by: String,
    /// Wall clock, milliseconds since 1970.
    pub at_unix_ms: u64,
    /// When the order was given.
    #[serde(default)]
    pub begun_unix_ms: Option<u64>,
    /// When the postmaster that is to go was started, by its node's wall clock.
    #[serde(default)]
    pub started_unix_ms: Option<u64>,
    /// Why it was given up: it stays so that whoever planned it hears of it.
    #[serde(default)]
    pub given_up: Option<String>,
}

/// What one node is to do with its own server. The node removes it when it is done or refused;
/// then it leaves an [`Answer`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    pub id: String,
    pub kind: OrderKind,
    pub by: String,
    /// Not before this moment of the node's wall clock, milliseconds since 1970.
    #[serde(default)]
    pub at_unix_ms: Option<u64>,
}

/// The kinds of [`Order`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OrderKind {
    /// Restart the server in its role.
    Restart {
        #[serde(default)]
        conditions: Conditions,
        /// When the postmaster that is to go was started, by its node's wall clock: another one
        /// is the proof that the order was carried out.
        #[serde(default)]
        started_unix_ms: Option<u64>,
    },
    /// Write the server's files anew and let it read them.
    Reload,
    /// Make the directory anew from the leader, or from `from`.
    Reinit {
        from: Option<NodeName>,
        /// The directory that is to go: another one is the proof that the order was carried out.
        #[serde(default)]
        directory: Option<DirectoryId>,
        /// From the repository, if that comes off.
        #[serde(default)]
        repository: bool,
    },
}

/// When a restart is done at all; Patroni's conditions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Conditions {
    /// Only where parameters wait for a restart.
    #[serde(default)]
    pub pending: bool,
    /// Only while the server is `primary` or `standby`.
    #[serde(default)]
    pub role: Option<String>,
    /// Only where PostgreSQL is older than this, such as `15.9`.
    #[serde(default)]
    pub older_than: Option<String>,
}

/// A node's server is to stay down.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fence {
    pub by: String,
    /// Wall clock, for display only: milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// The kinds of [`Intent`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum IntentKind {
    /// Move the primary while its node is alive; to the best standby when none is named.
    Switchover { to: Option<NodeName> },
    /// Take over although the leader cannot be reached. `accept_loss`: also when commits that
    /// were acknowledged may be missing on `to`.
    Failover { to: NodeName, accept_loss: bool },
}

impl std::fmt::Display for IntentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            IntentKind::Switchover { to: Some(to) } => write!(f, "a switchover to `{to}`"),
            IntentKind::Switchover { to: None } => f.write_str("a switchover to the best standby"),
            IntentKind::Failover { to, accept_loss: false } => write!(f, "a failover to `{to}`"),
            IntentKind::Failover { to, accept_loss: true } => {
                write!(f, "a failover to `{to}` that may lose commits")
            }
        }
    }
}

/// Written once, by the node that ran initdb: the cluster's identity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Initialize {
    pub by: NodeName,
    /// `pg_control`'s database system identifier; a directory with another one is refused.
    pub system_identifier: u64,
    pub major: u32,
}

/// Whose records lie in this store: a node of another cluster is refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    pub cluster: ClusterName,
    /// SHA-256 of the cluster CA's certificate, hexadecimal.
    pub authority: String,
}

/// The cluster file in force, as `howdah apply` left it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Config {
    pub revision: u64,
    /// The text of `howdah.toml`. Secrets are references there, never values.
    pub text: String,
}

/// "Nothing is received from `term`, or any lower one, before `sync` has a higher revision"
/// (PROTOCOL section 4): what a candidate asks of the voters, and what a node has promised.
/// Compared by term, then by revision.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Revocation {
    pub term: Term,
    pub revision: u64,
}

/// What a node says of itself, every second and whenever it changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    pub node: NodeName,
    pub host: String,
    pub postgres_port: u16,
    pub peer_port: u16,
    pub http_port: u16,
    /// The data directory, once there is one.
    pub directory: Option<DirectoryId>,
    pub server: ServerState,
    /// End of the WAL that this directory holds: flushed, as its server or its disk says.
    pub position: Option<Position>,
    pub history: Option<History>,
    /// Replayed so far, on a standby.
    pub replayed: Option<Lsn>,
    /// The upstream that the WAL receiver streams from now.
    pub streaming_from: Option<NodeName>,
    /// Replay delay by the primary's clock, milliseconds, while streaming.
    pub replay_lag_ms: Option<u64>,
    /// What this directory holds after the end of a term.
    pub report: Option<Report>,
    /// The leader's statement that no process of its server is left, and where its WAL ends.
    pub ended: Option<Ended>,
    /// As candidate, without a sign of life of the leader: what the voters are to promise.
    #[serde(default)]
    pub revokes: Option<Revocation>,
    /// May this node become primary, and may it be a voter (tags of the cluster file).
    #[serde(default)]
    pub no_failover: bool,
    #[serde(default)]
    pub failover_priority: u32,
    /// The last decision: rule number and sentence.
    pub rule: u16,
    pub reason: String,
    /// Parameters that wait for a restart.
    #[serde(default)]
    pub pending_restart: Vec<String>,
    /// What is wrong with this node, one sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
    /// This directory is to be made anew: the leader must stop counting it as a voter.
    #[serde(default)]
    pub leaving: bool,
    /// As leader: directories for which a slot of this term is ready.
    #[serde(default)]
    pub slots: BTreeSet<DirectoryId>,
    #[serde(default)]
    pub no_sync: bool,
    /// Its endpoints' reads go elsewhere.
    #[serde(default)]
    pub no_load_balance: bool,
    /// As leader: users' own physical slots and where they stand, to be kept on every node.
    #[serde(default)]
    pub user_slots: BTreeMap<String, Option<Lsn>>,
    /// Wall clock of the last change, for display only: milliseconds since 1970.
    pub at_unix_ms: u64,
    /// PostgreSQL's version, such as `15.18`.
    pub version: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// It runs no PostgreSQL: a member of the store and nothing else.
    #[serde(default)]
    pub witness: bool,
    /// Copies may be made from it.
    #[serde(default)]
    pub clone_from: bool,
    /// Whom it streams from by wish of the cluster file.
    #[serde(default)]
    pub replicate_from: Option<NodeName>,
    #[serde(default)]
    pub zone: Option<String>,
    /// When its postmaster was started, wall clock, milliseconds since 1970.
    #[serde(default)]
    pub started_unix_ms: Option<u64>,
    /// Values in force of the parameters that a standby needs as high as its primary, by name.
    #[serde(default)]
    pub sizes: BTreeMap<String, u64>,
    /// Its last order, when that was refused or failed, and why.
    #[serde(default)]
    pub answer: Option<Answer>,
    /// Fingerprint of the file that this node was started with: of the parts that all must share.
    #[serde(default)]
    pub file_print: Option<String>,
    /// Users' logical slots that PostgreSQL does not keep on standbys by itself.
    #[serde(default)]
    pub logical_slots: BTreeMap<String, LogicalSlot>,
    /// As primary with `archive_mode`: how its archiving goes.
    #[serde(default)]
    pub archiver: Option<Archiver>,
    /// As primary: transactions that have run for long.
    #[serde(default)]
    pub long_transactions: u32,
    /// Drawn when the agent started: tells two agents of one node apart.
    #[serde(default)]
    pub agent: Option<String>,
    /// Why its disk is not fit for a primary; none when it is.
    #[serde(default)]
    pub disk: Option<String>,
    /// Why it may not lead for want of the watchdog that the cluster file requires.
    #[serde(default)]
    pub watchdog: Option<String>,
    #[serde(default)]
    pub commits: crate::commits::Commits,
    /// As primary with `[backup]`: how far its WAL is in the repository.
    #[serde(default)]
    pub archived: Option<crate::backups::Archived>,
}

/// How archiving goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Archiver {
    /// The last attempt failed.
    pub failing: bool,
    /// WAL files that are complete and not archived yet.
    pub waiting: u64,
}

/// A logical replication slot.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LogicalSlot {
    /// The database in which it decodes.
    #[serde(default)]
    pub database: String,
    /// Its consumer has everything before this.
    pub confirmed: Option<Lsn>,
    /// It needs the WAL from here on.
    pub restart: Option<Lsn>,
}

/// The state of one server, in Patroni's sense of `state` and `role`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// No directory yet, or one that is being made.
    Creating,
    Stopped,
    Starting,
    /// Accepts writes, but clients are not let in yet (PROTOCOL section 8).
    PrimaryGated,
    Primary,
    /// In recovery, not streaming.
    Standby,
    /// In recovery, streaming.
    Streaming,
    Stopping,
    /// A directory that must not be used: of another cluster, or half copied.
    Refused,
    /// The probe did not answer in time: neither up nor down.
    Unknown,
}

/// A standby's answer to "the lease of `term` is over": where its WAL ends, read afterwards.
///
/// With a `revision` it is a promise too (PROTOCOL section 4): read when nothing was received any
/// more, and nothing will be from `term` before `sync` has a higher revision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    pub term: Term,
    pub position: Position,
    pub history: History,
    /// Of the record `sync`; none while the term still has a leader.
    #[serde(default)]
    pub revision: Option<u64>,
}

/// The leader's server is gone to the last process; its WAL ends at `end`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    pub term: Term,
    pub end: Position,
    /// Whether it was a clean shutdown.
    pub clean: bool,
    /// Why its own node ended it, when the server could not do its work any more.
    #[serde(default)]
    pub why: Option<String>,
}
