//! What the proxy routes by. The agent is its only writer and sends it on a `watch` channel; nodes
//! tell it to proxies on other hosts as JSON, so fields are added and never renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{NodeName, Term};

/// Who serves what, as one node sees it now.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Topology {
    /// The highest term seen. A connection that was routed by a lower one to another primary
    /// is cut.
    pub term: Term,
    /// The primary of `term`, once its gate is open.
    #[serde(default)]
    pub primary: Option<NodeName>,
    /// It is about to be shut down, and another one takes over: transactions that run may end, and
    /// new ones are held back by whoever can.
    #[serde(default)]
    pub handing_over: bool,
    pub nodes: BTreeMap<NodeName, Route>,
    /// What this node's own server may serve now; a request of a peer is judged by it.
    #[serde(skip)]
    pub local: Local,
}

/// How a node is reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Route {
    pub host: String,
    /// The port on which the node's proxy takes relayed clients of other nodes (mutual TLS).
    pub peer_port: u16,
    /// Its server's, for operators to see: nobody is led there past the node's proxy.
    pub postgres_port: u16,
    /// A standby that may serve reads: lag behind the primary in bytes.
    #[serde(default)]
    pub standby_lag: Option<u64>,
}

/// This node's own server, by the agent's own knowledge and not by the store's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Local {
    /// The term in which it accepts writes and its gate is open.
    pub writable: Option<Term>,
    /// It is a running standby.
    pub readable: bool,
    /// It is about to be shut down: whoever is connected stays until it is, and nobody else is
    /// led to it.
    pub closing: bool,
    /// The term that this node leads although no process of its server is left: other nodes may
    /// read the WAL that lies on its disk.
    pub ended: Option<Term>,
    /// Its port on loopback.
    pub postgres_port: u16,
}
