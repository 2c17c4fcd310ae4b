//! What a node knows of itself and of its cluster now: the only thing that hooks are planned by.

use std::collections::BTreeMap;
use std::fmt;

use howdah_base::{ClusterName, NodeName, Term, Tick, Timeline};
use serde::{Deserialize, Serialize};

/// One picture, published on a `watch` channel: only the latest counts, and whatever a reader
/// missed in between is told as one change.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    pub cluster: ClusterName,
    /// What tells this cluster from every other one of its name; empty when that is not known.
    pub identity: String,
    /// The node that looks.
    pub node: NodeName,
    /// Of the own server.
    pub role: Role,
    /// The highest term known.
    pub term: Term,
    /// The own server's, once known.
    pub timeline: Option<Timeline>,
    /// The primary of `term` that lets clients in. `None` also while one is being promoted.
    pub leader: Option<Leader>,
    pub paused: bool,
    /// The last decision's rule number and sentence.
    pub reason: Reason,
    /// When the own server was started, by its own clock: milliseconds since 1970. Tells two
    /// runs of it apart.
    pub server_started_unix_ms: Option<u64>,
    /// The server is down only to come back: an order to restart it is being carried out.
    pub restarting: bool,
    /// Reloads of the own server that this agent has carried out; rises.
    pub reloads: u64,
    /// Every other node of the cluster, and whether it has a live record in the store.
    pub others: BTreeMap<NodeName, bool>,
    /// The store does not answer: nothing is known of other nodes now.
    pub store_away: bool,
    /// What is wrong with the cluster, one sentence each.
    pub problems: Vec<String>,
    /// Until when this node leads, on its own clock: the guard's deadline. The virtual IP is
    /// given up before it passes.
    pub leads_until: Option<Tick>,
}

impl Seen {
    /// A node that knows nothing yet but whom it takes for the leader.
    #[cfg(test)]
    pub(crate) fn of(node: &str, leader: Option<&str>) -> Seen {
        let name = |text: &str| text.parse::<NodeName>().expect("a node's name");
        let leader = leader.map(|node| Leader {
            node: name(node),
            host: format!("{node}.example.com"),
            postgres_port: 5433,
            rw_port: 6432,
        });
        let identity = "c0ffee".to_owned();
        Seen { leader, identity, ..Seen::unknown("shop".parse().expect("a name"), name(node)) }
    }

    /// Before anything is known: nothing is begun, nothing taken back.
    pub fn unknown(cluster: ClusterName, node: NodeName) -> Seen {
        Seen {
            cluster,
            identity: String::new(),
            node,
            role: Role::Unknown,
            term: Term(0),
            timeline: None,
            leader: None,
            paused: false,
            reason: Reason::default(),
            server_started_unix_ms: None,
            restarting: false,
            reloads: 0,
            others: BTreeMap::new(),
            store_away: false,
            problems: Vec::new(),
            leads_until: None,
        }
    }

    /// Whether the own server is the cluster's primary, as both the node and the cluster say.
    /// The node alone may be behind: its server may still run as the primary of an older term.
    pub fn leads(&self) -> bool {
        self.role == Role::Primary && self.leader_is(&self.node)
    }

    /// Whether `node` is the leader that is known.
    pub fn leader_is(&self, node: &NodeName) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.node == *node)
    }
}

/// What the own server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Not known now: neither up nor down. Nothing is begun and nothing is taken back.
    #[default]
    Unknown,
    /// There is none: a witness, or a directory that is still being made.
    None,
    Stopped,
    /// Starting, or being promoted, or a primary that lets no client in yet.
    Starting,
    Stopping,
    /// A primary that lets clients in.
    Primary,
    /// A running standby.
    Standby,
    /// To stay down.
    Fenced,
}

impl Role {
    /// Whether the server serves; `None` while that is changing or not known.
    pub fn up(self) -> Option<bool> {
        match self {
            Role::Primary | Role::Standby => Some(true),
            Role::None | Role::Stopped | Role::Fenced => Some(false),
            Role::Unknown | Role::Starting | Role::Stopping => None,
        }
    }

    /// The word that hooks get.
    pub fn word(self) -> &'static str {
        match self {
            Role::Unknown => "unknown",
            Role::None => "none",
            Role::Stopped => "stopped",
            Role::Starting => "starting",
            Role::Stopping => "stopping",
            Role::Primary => "primary",
            Role::Standby => "standby",
            Role::Fenced => "fenced",
        }
    }

    /// Patroni's word for it (its documentation, "callbacks", from 4.0 on).
    pub fn patroni(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Standby => "replica",
            _ => "uninitialized",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Where the cluster's primary is reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Leader {
    pub node: NodeName,
    pub host: String,
    pub postgres_port: u16,
    /// The port of its `rw` endpoint.
    pub rw_port: u16,
}

/// Why something was decided.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reason {
    pub rule: u16,
    pub text: String,
}
