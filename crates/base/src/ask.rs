//! What an operator asks of a cluster: the one list behind HTTP, the verbs and the agent.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::NodeName;
use crate::record::Conditions;

/// One request. Any node takes it; what it means stands in the store before it is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Move the primary while its node is alive; to the best standby when none is named.
    Switchover {
        to: Option<NodeName>,
        /// Wall clock, milliseconds since 1970: not now but then.
        at_unix_ms: Option<u64>,
    },
    /// Drop the switchover that is planned, or give up one under way that has not shut the
    /// primary down yet.
    AbortSwitchover,
    /// Take over although the leader cannot be reached. `accept_loss`: also when commits that
    /// were acknowledged may be missing on `to`.
    Failover {
        to: NodeName,
        accept_loss: bool,
    },
    /// A new cluster file: its text, not yet read.
    Apply {
        text: String,
        /// Only while this revision is in force: two editors do not undo each other's work.
        revision: Option<u64>,
    },
    /// Nothing is promoted, started or stopped by itself until `Resume`.
    Pause,
    Resume,
    /// Restart servers, one after the other; all nodes when none is named.
    Restart {
        nodes: Vec<NodeName>,
        conditions: Conditions,
        at_unix_ms: Option<u64>,
    },
    /// Drop the restart that is planned for this node.
    CancelRestart {
        node: NodeName,
    },
    /// Write the server's files anew and let it read them; all nodes when none is named.
    Reload {
        nodes: Vec<NodeName>,
    },
    /// Make a standby's directory anew: copied from the leader, or from the node named.
    Reinit {
        node: NodeName,
        from: Option<NodeName>,
        /// From the repository, if that comes off.
        repository: bool,
    },
    /// Stop a node's server and keep it stopped; a primary hands over first.
    Fence {
        node: NodeName,
    },
    Unfence {
        node: NodeName,
    },
    /// Stop this node.
    Stop,
}

/// What came of a request: the one shape of all answers, over HTTP and of the verbs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// What was asked for, in one word: see [`Ask::what`].
    pub what: String,
    pub state: Progress,
    /// A sentence for people.
    pub message: String,
    /// The nodes that it concerns, each by itself.
    #[serde(default)]
    pub nodes: Vec<NodeReceipt>,
}

/// What came of a request on one node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeReceipt {
    pub node: NodeName,
    pub state: Progress,
    pub message: String,
}

/// How far a request has got when it is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    Done,
    /// It is to come.
    Planned,
    /// It goes on by itself.
    Begun,
    /// What was planned, or under way, is not done any more.
    Dropped,
    /// This node has no part in it now.
    Skipped,
    Refused,
}

impl Receipt {
    /// The answer to `ask`, the same for each node that it names.
    pub fn of(ask: &Ask, state: Progress, message: impl Into<String>) -> Receipt {
        let message: String = message.into();
        let nodes = ask.nodes().into_iter();
        Receipt {
            what: ask.what().to_owned(),
            state,
            nodes: nodes
                .map(|node| NodeReceipt { node, state, message: message.clone() })
                .collect(),
            message,
        }
    }
}

impl Ask {
    /// One word for it.
    pub fn what(&self) -> &'static str {
        match self {
            Ask::Switchover { .. } | Ask::AbortSwitchover => "switchover",
            Ask::Failover { .. } => "failover",
            Ask::Apply { .. } => "apply",
            Ask::Pause => "pause",
            Ask::Resume => "resume",
            Ask::Restart { .. } | Ask::CancelRestart { .. } => "restart",
            Ask::Reload { .. } => "reload",
            Ask::Reinit { .. } => "reinit",
            Ask::Fence { .. } => "fence",
            Ask::Unfence { .. } => "unfence",
            Ask::Stop => "stop",
        }
    }

    /// The nodes that it names.
    fn nodes(&self) -> Vec<NodeName> {
        match self {
            Ask::Switchover { to, .. } => to.iter().cloned().collect(),
            Ask::Restart { nodes, .. } | Ask::Reload { nodes } => nodes.clone(),
            Ask::Failover { to: node, .. }
            | Ask::CancelRestart { node }
            | Ask::Reinit { node, .. }
            | Ask::Fence { node }
            | Ask::Unfence { node } => vec![node.clone()],
            Ask::AbortSwitchover | Ask::Apply { .. } | Ask::Pause | Ask::Resume | Ask::Stop => {
                Vec::new()
            }
        }
    }
}

/// As the log tells it; of a cluster file not the text.
impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let later = |at: &Option<u64>| if at.is_some() { ", later" } else { "" };
        match self {
            Ask::Switchover { to: Some(to), at_unix_ms } => {
                write!(f, "a switchover to {to}{}", later(at_unix_ms))
            }
            Ask::Switchover { to: None, at_unix_ms } => {
                write!(f, "a switchover to the best standby{}", later(at_unix_ms))
            }
            Ask::AbortSwitchover => f.write_str("to give the switchover up"),
            Ask::Failover { to, accept_loss: false } => write!(f, "a failover to {to}"),
            Ask::Failover { to, accept_loss: true } => {
                write!(f, "a failover to {to}, also if commits are lost")
            }
            Ask::Apply { .. } => f.write_str("a new cluster file"),
            Ask::Pause => f.write_str("a pause"),
            Ask::Resume => f.write_str("the end of the pause"),
            Ask::Restart { nodes, at_unix_ms, .. } => {
                write!(f, "a restart of {}{}", listed(nodes), later(at_unix_ms))
            }
            Ask::CancelRestart { node } => write!(f, "to drop the restart of {node}"),
            Ask::Reload { nodes } => write!(f, "a reload of {}", listed(nodes)),
            Ask::Reinit { node, repository: true, .. } => {
                write!(f, "a new copy for {node}, made from the repository")
            }
            Ask::Reinit { node, from: None, .. } => write!(f, "a new copy for {node}"),
            Ask::Reinit { node, from: Some(from), .. } => {
                write!(f, "a new copy for {node}, made from {from}")
            }
            Ask::Fence { node } => write!(f, "{node} fenced"),
            Ask::Unfence { node } => write!(f, "{node} not fenced any more"),
            Ask::Stop => f.write_str("the end of this node"),
        }
    }
}

fn listed(nodes: &[NodeName]) -> String {
    if nodes.is_empty() {
        return "all nodes".to_owned();
    }
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

/// Why a request is not carried out, and what to do next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    #[serde(skip)]
    pub class: RefusalClass,
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Of a request that concerns several nodes: what came of it on each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeReceipt>,
}

/// What kind of refusal it is: HTTP turns it into a status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RefusalClass {
    /// The request itself makes no sense.
    Malformed,
    /// It does not go together with what is there: a request under way, another leader.
    #[default]
    Conflict,
    /// The cluster is not in a state in which it can be done, such as no fit candidate.
    Precondition,
    /// What it names does not exist: no such node, nothing planned.
    Absent,
    /// The store or the agent does not answer, or it was begun and did not end well in time.
    Unavailable,
}

impl Refusal {
    pub fn new(error: impl Into<String>) -> Refusal {
        Refusal {
            class: RefusalClass::default(),
            error: error.into(),
            hint: None,
            nodes: Vec::new(),
        }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Refusal {
        self.hint = Some(hint.into());
        self
    }

    pub fn class(mut self, class: RefusalClass) -> Refusal {
        self.class = class;
        self
    }
}
