//! Which server a client gets, and when it must not keep it. Pure.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use howdah_base::topology::{Local, Topology};
use howdah_base::{NodeName, Term};
use serde::{Deserialize, Serialize};

/// A port of the proxy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Endpoint {
    /// The primary.
    Rw,
    /// A standby within the lag limit; the primary as fallback, by choice.
    Ro,
    /// Any server.
    Any,
    /// For the other nodes' proxies.
    Peer,
}

impl Endpoint {
    pub fn name(self) -> &'static str {
        ["rw", "ro", "any", "peer"][self as usize]
    }
}

/// What a server must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Want {
    Primary,
    Standby,
    /// Nothing: the connection only carries a cancel request.
    Cancel,
    /// Its agent's promise to take part in no takeover for a while.
    Wait,
    /// Down, and its WAL there to be read.
    Wal,
    /// Nothing: its node tells a proxy what is where, at every change.
    Follow,
    /// Nothing: its node tells a proxy the verifiers of roles.
    Verifiers,
}

impl Want {
    /// Whether a proxy on a host without a node may ask for it: whatever it takes to serve
    /// clients, and nothing by which nodes decide among themselves.
    pub fn is_for_proxies(self) -> bool {
        match self {
            Want::Primary | Want::Standby | Want::Cancel | Want::Follow | Want::Verifiers => true,
            Want::Wait | Want::Wal => false,
        }
    }
}

/// The nodes that are right for `endpoint`, and what each is taken for.
pub fn candidates(
    now: &Topology,
    me: &NodeName,
    endpoint: Endpoint,
    ro_max_lag: u64,
    ro_primary_fallback: bool,
) -> Vec<(NodeName, Want)> {
    let lag_max = if endpoint == Endpoint::Ro { ro_max_lag } else { u64::MAX };
    let role = |node: &NodeName| {
        // Of its own server a node knows better than the store.
        let Local { writable, readable, closing, .. } = now.local;
        if node == me && closing {
            return None;
        }
        if now.primary.as_ref() == Some(node) {
            return (node != me || writable == Some(now.term)).then_some(Want::Primary);
        }
        let lag = now.nodes.get(node)?.standby_lag?;
        (lag <= lag_max && (node != me || readable)).then_some(Want::Standby)
    };
    let mut all: Vec<_> =
        now.nodes.keys().filter_map(|node| Some((node.clone(), role(node)?))).collect();
    let fall_back = ro_primary_fallback && all.iter().all(|(_, want)| *want == Want::Primary);
    all.retain(|(_, want)| match endpoint {
        Endpoint::Rw => *want == Want::Primary,
        Endpoint::Ro => *want == Want::Standby || fall_back,
        Endpoint::Any | Endpoint::Peer => true,
    });
    all
}

/// Whether this node's server is what a peer in `term` wants; else why not.
pub fn judge_peer(now: &Topology, term: Term, want: Want) -> Result<(), String> {
    match want {
        Want::Cancel | Want::Wait | Want::Follow | Want::Verifiers => Ok(()),
        Want::Wal if now.local.ended == Some(term) && term >= now.term => Ok(()),
        Want::Wal => Err(format!("its WAL is not given out in term `{term}`")),
        _ if now.local.closing => Err("this server is about to be shut down".to_owned()),
        _ if term < now.term => Err(format!("the term is over, now is `{}`", now.term)),
        Want::Primary if now.local.writable == Some(term) => Ok(()),
        Want::Primary => Err(format!("this server takes no writes in term `{term}`")),
        Want::Standby if now.local.readable => Ok(()),
        Want::Standby => Err("this server is no running standby".to_owned()),
    }
}

/// Where a server stands.
#[derive(Clone, Debug)]
pub enum Site {
    /// At a node of the cluster, as long as that is what it was.
    Node(Route),
    /// At an address, whatever it is there. `moved`: the database is elsewhere by now.
    Fixed { address: Address, moved: Arc<AtomicBool> },
}

impl Site {
    /// See [`Route::is_over`].
    pub fn is_over(&mut self, now: &Topology) -> bool {
        match self {
            Site::Node(route) => route.is_over(now),
            Site::Fixed { .. } => false,
        }
    }
}

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Address {
    Tcp {
        host: String,
        port: u16,
    },
    /// Its socket, not the directory.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A connection's claim on a server, for as long as it lasts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    pub node: NodeName,
    /// The server is this node's own: judged by its own knowledge.
    pub local: bool,
    /// The term in which the server was the primary, since the connection saw it as one.
    pub term: Option<Term>,
}

impl Route {
    /// Whether the server was the primary and is it no more. A standby that becomes the
    /// primary keeps its clients, and from then on loses them as a primary does.
    pub fn is_over(&mut self, now: &Topology) -> bool {
        let term = match &now.primary {
            _ if self.local => now.local.writable.filter(|term| *term >= now.term),
            Some(primary) if *primary == self.node => Some(now.term),
            // Nobody is known to have taken over in this term: its own node decides.
            None if self.term == Some(now.term) => self.term,
            _ => None,
        };
        let over = self.term.is_some() && self.term != term;
        self.term = self.term.or(term);
        over
    }
}

#[cfg(test)]
mod tests;
