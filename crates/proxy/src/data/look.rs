//! What a thread shows of itself: a piece at a time, so that no turn of its loop lasts for as long as
//! thousands of clients take to be written down.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use howdah_spec::PoolMode;
use slab::Slab;

use super::client::{Client, Doing};
use super::server::Server;
use super::stats::{Counts, Stats};
use super::thread::Thread;
use super::{Parameters, PoolKey};
use crate::route::Site;

/// Clients or servers of one piece.
const PIECE_MAX: usize = 256;
/// Pools of one piece: what is counted of each are some kilobytes.
const POOLS_MAX: usize = 64;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    Pools,
    Clients,
    Servers,
}

/// One answer. Who comes or goes between two of them may be missing.
#[derive(Default)]
pub(crate) struct Piece {
    pub pools: Vec<PoolSeen>,
    pub clients: Vec<ClientSeen>,
    pub servers: Vec<ServerSeen>,
    /// Of databases whose pools have gone; in the first piece of pools.
    pub gone: BTreeMap<String, Counts>,
    /// Where the next piece begins, unless this was the last.
    pub next: Option<usize>,
}

/// One pool.
#[derive(Clone, Debug)]
pub(crate) struct PoolSeen {
    /// Its place in the thread, by which clients and servers name it.
    pub at: usize,
    pub key: PoolKey,
    pub mode: PoolMode,
    pub held: bool,
    pub clients: usize,
    pub waiting: usize,
    /// Since when whoever has waited longest has.
    pub oldest: Option<Instant>,
    pub active: usize,
    pub idle: usize,
    /// Being made clean for the next client.
    pub tested: usize,
    /// Free, but for cancel requests on their way to it.
    pub being_cancelled: usize,
    /// Cancel requests on their way.
    pub cancels: usize,
    pub opening: usize,
    pub stats: Box<Stats>,
}

/// The ends of a connection.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Ends {
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
}

/// What clients and servers have in common.
#[derive(Clone, Debug)]
pub(crate) struct SocketSeen {
    pub id: u64,
    pub pool: usize,
    pub ends: Ends,
    pub came: Instant,
    /// Its version, or nothing.
    pub tls: &'static str,
    pub application_name: Box<str>,
    pub prepared: usize,
    /// Whom it is linked to.
    pub link: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct ClientSeen {
    pub socket: SocketSeen,
    pub waits: Option<Instant>,
    /// Its query has begun.
    pub asked: Option<Instant>,
    pub pinned: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ServerSeen {
    pub socket: SocketSeen,
    pub state: &'static str,
    /// Since when it is its client's, or nobody's.
    pub since: Instant,
    pub close_needed: bool,
    pub process: u32,
    /// Its node, or its address.
    pub node: String,
}

impl Thread {
    pub(super) fn look(&self, what: Look, from: usize) -> Piece {
        match what {
            Look::Pools => self.look_at_pools(from),
            Look::Clients => {
                let show = |_, client: &Client| self.client(client);
                let (clients, next) = piece(&self.clients, from, PIECE_MAX, show);
                Piece { clients, next, ..Piece::default() }
            }
            Look::Servers => {
                let show = |_, server: &Server| self.server(server);
                let (servers, next) = piece(&self.servers, from, PIECE_MAX, show);
                Piece { servers, next, ..Piece::default() }
            }
        }
    }

    fn look_at_pools(&self, from: usize) -> Piece {
        let (mut pools, next) = piece(&self.pools, from, POOLS_MAX, |at, pool| PoolSeen {
            at,
            key: pool.key.clone(),
            mode: pool.rules.mode,
            held: pool.is_held(),
            clients: pool.clients,
            waiting: 0,
            oldest: None,
            active: 0,
            idle: 0,
            tested: 0,
            being_cancelled: 0,
            cancels: 0,
            opening: pool.opening as usize,
            stats: Box::new(pool.stats.clone()),
        });
        // In the order of their places.
        let of = |pools: &[PoolSeen], at| pools.binary_search_by_key(&at, |pool| pool.at).ok();
        for (_, server) in &self.servers {
            let Some(found) = of(&pools, server.pool) else { continue };
            let pool = &mut pools[found];
            pool.cancels += server.cancelling as usize;
            match state(server) {
                "active" => pool.active += 1,
                "tested" => pool.tested += 1,
                "being_canceled" => pool.being_cancelled += 1,
                _ => pool.idle += 1,
            }
        }
        for (_, client) in &self.clients {
            let Some(since) = client.waits_since() else { continue };
            let Some(found) = of(&pools, client.pool) else { continue };
            let pool = &mut pools[found];
            pool.waiting += 1;
            pool.oldest = Some(pool.oldest.map_or(since, |oldest| oldest.min(since)));
        }
        let gone = if from == 0 { self.gone.clone() } else { BTreeMap::new() };
        Piece { pools, gone, next, ..Piece::default() }
    }

    fn client(&self, client: &Client) -> ClientSeen {
        let link = match client.doing {
            Doing::Linked(server) => self.servers.get(server).map(|server| server.born),
            _ => None,
        };
        let application_name = client.settings.get("application_name").cloned().unwrap_or_default();
        ClientSeen {
            socket: SocketSeen {
                id: client.marks.id,
                pool: client.pool,
                ends: client.conn.ends(),
                came: client.marks.came,
                tls: client.conn.tls(),
                application_name,
                prepared: client.half.prepared(),
                link,
            },
            waits: client.waits_since(),
            asked: client.marks.asked,
            pinned: client.pinned,
        }
    }

    fn server(&self, server: &Server) -> ServerSeen {
        let link = server.client.and_then(|at| self.clients.get(at));
        let process = server.key.first_chunk::<4>().copied().unwrap_or_default();
        ServerSeen {
            socket: SocketSeen {
                id: server.born,
                pool: server.pool,
                ends: server.conn.ends(),
                came: server.opened,
                tls: server.conn.tls(),
                application_name: parameter(&server.parameters, b"application_name"),
                prepared: server.held.len(),
                link: link.map(|client| client.marks.id),
            },
            state: state(server),
            since: server.since,
            close_needed: server.stale,
            process: u32::from_be_bytes(process),
            node: match &server.site {
                Site::Node(route) => route.node.to_string(),
                Site::Fixed { address, .. } => address.to_string(),
            },
        }
    }
}

/// PgBouncer's word for what a server does.
fn state(server: &Server) -> &'static str {
    match server {
        Server { client: Some(_), .. } => "active",
        Server { resetting: true, .. } | Server { tidying: true, .. } => "tested",
        Server { cancelling: 1.., .. } => "being_canceled",
        _ => "idle",
    }
}

fn parameter(parameters: &Parameters, name: &[u8]) -> Box<str> {
    let found = parameters.iter().find(|(known, _)| **known == *name);
    found.map(|(_, value)| String::from_utf8_lossy(value).into()).unwrap_or_default()
}

/// Those whose places are `from` and beyond, and where the rest begins.
fn piece<T, S>(
    all: &Slab<T>,
    from: usize,
    max: usize,
    show: impl Fn(usize, &T) -> S,
) -> (Vec<S>, Option<usize>) {
    let mut shown = Vec::new();
    for at in from..all.capacity() {
        let Some(one) = all.get(at) else { continue };
        if shown.len() == max {
            return (shown, Some(at));
        }
        shown.push(show(at, one));
    }
    (shown, None)
}
