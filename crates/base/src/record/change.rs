//! The cluster's history: a line for each term.

use serde::{Deserialize, Serialize};

use crate::{NodeName, Position, Term, Timeline};

/// Entries kept under [`super::key::HISTORY`].
pub const HISTORY_LEN_MAX: usize = 200;

/// [`Change::loss`] when nothing that was acknowledged is missing.
pub const NO_LOSS: &str = "none";

/// One line of the cluster's history: a new term.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    pub at_unix_ms: u64,
    pub term: Term,
    pub timeline: Timeline,
    pub leader: NodeName,
    pub from: Option<NodeName>,
    pub kind: ChangeKind,
    /// Where the new term begins in the WAL.
    pub begins: Position,
    /// The decision's rule and sentence.
    pub rule: u16,
    pub reason: String,
    /// What can be said about loss: [`NO_LOSS`], or the bound in words.
    pub loss: String,
    /// How long its parts took; filled in by the new leader once clients are let in.
    #[serde(default)]
    pub timings: Timings,
}

/// How long the parts of a change of leader took, milliseconds by the new leader's clock; what is
/// not known is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Timings {
    /// From the first sign that the old leader was gone, or was ending, to the takeover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deciding_ms: Option<u64>,
    /// From the takeover until the server accepted writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoting_ms: Option<u64>,
    /// From there until clients were let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening_ms: Option<u64>,
}

/// The kinds of [`Change`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Bootstrap,
    Restart,
    Switchover,
    Handover,
    Failover,
    Forced,
}
