//! What an operator asks of a cluster: the one list behind HTTP, the verbs and the agent.

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

/// Why a request is not carried out, and what to do next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    #[serde(skip)]
    pub class: RefusalClass,
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
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
        Refusal { class: RefusalClass::default(), error: error.into(), hint: None }
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
