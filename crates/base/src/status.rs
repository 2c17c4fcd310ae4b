//! What an operator sees: the one truth behind `howdah status`, its `--json`, and the page.

use serde::{Deserialize, Serialize};

use crate::backups::Backups;
use crate::commits::{OptedOut, Rpo};
use crate::record::{Change, Fence, Member, Order, Pause, Planned, PlannedRestart, ServerState};
use crate::{ClusterName, NodeName, Position, Term};

/// The cluster as one node sees it. `howdah status --json` prints it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClusterStatus {
    pub cluster: ClusterName,
    /// The node that answers.
    pub seen_by: NodeName,
    pub durability: String,
    pub term: Term,
    /// The holder of the lease.
    pub leader: Option<NodeName>,
    pub store: StoreStatus,
    pub nodes: Vec<NodeStatus>,
    pub endpoints: Vec<Endpoint>,
    /// How many nodes may be lost now, writes going on and no acknowledged commit lost; `None` in
    /// `async`.
    pub nodes_spare: Option<u32>,
    /// What the loss of the leader's host would cost now; `None` without a leader.
    #[serde(default)]
    pub rpo: Option<Rpo>,
    /// Roles and databases whose commits do not wait as `durability` promises.
    #[serde(default)]
    pub opted_out: Vec<OptedOut>,
    /// Sessions through the endpoints that asked for the same when they connected.
    #[serde(default)]
    pub opted_out_sessions: u32,
    /// What is wrong, one sentence each; empty when all is well.
    pub problems: Vec<String>,
    pub history: Vec<Change>,
    /// Revision of the cluster file in force.
    pub config_revision: u64,
    #[serde(default)]
    pub paused: Option<Pause>,
    /// A switchover that is to come.
    #[serde(default)]
    pub planned: Option<Planned>,
    /// What a switchover to the best standby would meet now.
    #[serde(default)]
    pub switchover: Vec<Check>,
    /// `None` without `[backup]`.
    #[serde(default)]
    pub backups: Option<Backups>,
}

/// One thing that was looked at before something is tried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// One word, such as `archive`.
    pub what: String,
    pub verdict: Verdict,
    pub said: String,
}

/// What a [`Check`] says of the attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Fine,
    /// It can be done; somebody should know.
    Warns,
    Prevents,
}

/// Whether the store answers this node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreStatus {
    pub kind: String,
    pub reachable: bool,
    pub error: Option<String>,
}

/// One line of the screen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    pub node: NodeName,
    pub host: String,
    pub postgres_port: u16,
    pub http_port: u16,
    pub state: ServerState,
    pub position: Option<Position>,
    /// Behind the leader, in bytes of WAL.
    pub lag_bytes: Option<u64>,
    /// Behind the leader, in milliseconds of replay.
    pub lag_ms: Option<u64>,
    /// Counts for synchronous commit.
    pub voter: bool,
    /// The last decision's rule and sentence.
    pub rule: u16,
    pub reason: String,
    /// Why this node cannot be promoted now; `None` when it can.
    pub not_promotable: Option<String>,
    /// Why the primary cannot be moved to this node now while it is alive; `None` when it can.
    #[serde(default)]
    pub not_switchable: Option<String>,
    /// While there is no leader: what an operator's failover to this node would lose.
    #[serde(default)]
    pub failover_loses: Option<String>,
    pub pending_restart: Vec<String>,
    pub problems: Vec<String>,
    /// Its server is to stay down.
    #[serde(default)]
    pub fenced: Option<Fence>,
    /// What it is to do now.
    #[serde(default)]
    pub order: Option<Order>,
    /// The restart of its server that is to come, is under way, or was given up.
    #[serde(default)]
    pub restart: Option<PlannedRestart>,
    /// The node has a live record in the store.
    pub alive: bool,
    /// The node's own record, for `explain`.
    pub member: Option<Member>,
}

/// Where clients connect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    pub node: NodeName,
    /// `rw`, `ro` or `any`.
    pub name: String,
    pub host: String,
    pub port: u16,
}
