//! Endpoints: every node listens on rw, ro and any, and passes a client on to a server that is
//! what the client asked for.
//!
//! ```text
//! client -> rw|ro|any: TLS ends, first packet read, pg_hba judged by the client's own address
//!        -> this node's server, from 127.72.68.1
//!        -> or another node's peer port (mutual TLS, preamble) -> its server, from 127.72.68.1
//! ```
//!
//! The proxy routes by [`Topology`] alone and carries its term: the node whose server is meant
//! judges by its own knowledge and refuses a lower one. A connection to a server that stops
//! being the primary is cut at once.
//!
//! Where there are pools, a client proves itself to this node ([`gate`]) and is handed to a data
//! thread ([`data`]), which leads it to a server of its pool for each transaction or for as long as
//! it is connected. Others (replication, roles without a SCRAM verifier, while this node's own server
//! is down) are served as if there were none.
//!
//! Absent where a server asks the client who it is: SCRAM with channel binding. TLS ends here and plain
//! SCRAM-SHA-256 is offered, which libpq takes with `channel_binding=prefer` (its default);
//! `channel_binding=require` needs pools.

mod accept;
mod arrival;
mod cancel;
mod client;
mod client_stream;
mod config;
mod console;
mod counters;
mod credentials;
mod crowd;
mod data;
mod follow;
mod gate;
mod login;
mod negotiate;
mod opener;
mod openings;
mod peer;
mod plea;
mod pooled;
mod relay;
mod route;
mod socket;
mod tell;
mod wal;

pub mod alone;
pub mod pool;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use howdah_base::topology::Topology;
use howdah_base::{Gauge, NodeName};
use rustls::ServerConfig;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use config::{PeerDoor, ProxyConfig, ProxyError};
use console::Console;
pub use console::{ConsoleConfig, Declined, Metrics, Operators, Shown, WISHES_MAX, Wish, WishKind};
pub use counters::Counters;
pub use follow::{Following, Hearsay, ask_nodes, follow};
pub use howdah_spec::pools as policy;
use openings::Openings;
pub use plea::{PLEAS_MAX, Plea, PleaAsk, plead};
pub use policy::Policy;
pub use pooled::{VERIFIER_ASKS_MAX, VerifierAsk};
pub use route::Endpoint;
pub use socket::{Bound, bind};
pub use tell::Rules;
pub use wal::{WalAsk, fetch_wal};

/// Connections that have not said yet what they want; with one more the oldest goes, unless it has only
/// just come ([`openings`]).
const OPENINGS_MAX: usize = 512;
/// Connections of one endpoint beyond `clients_max`, because whoever has not said yet what it wants
/// is no client, and because cancel requests must get through. More wait unaccepted.
const CONNECTIONS_MORE: usize = 2 * OPENINGS_MAX;
/// How long a connection may take to say it: TLS and the first packet.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);
/// The protocol's name in TLS; a client that starts TLS without asking must name it.
const ALPN: &[u8] = b"postgresql";

/// Serves all endpoints until dropped, or until whoever writes the topology is gone: then nobody
/// would tell of a deposed primary. Either way every connection is closed.
pub async fn serve(
    mut config: ProxyConfig,
    mut topology: watch::Receiver<Topology>,
    bound: Bound,
) -> Result<(), ProxyError> {
    let mut tls = ServerConfig::clone(&config.server_tls);
    tls.alpn_protocols = vec![ALPN.to_vec()];
    config.server_tls = Arc::new(tls);
    let (pooler, asks) = match pooled::start(&config).map_err(ProxyError::Pooler)? {
        Some((pooler, asks)) => (Some(pooler), Some(asks)),
        None => (None, None),
    };
    let console = pooler.as_ref().map(|pooler| {
        let (policy, topology) = (config.policy.clone(), topology.clone());
        Arc::new(Console::new(pooler.all().to_vec(), config.console.clone(), policy, topology))
    });
    config.metrics.begin(&config.counters, console.as_ref());
    let proxy = Arc::new(Proxy {
        pooler: pooler.clone(),
        console: console.clone(),
        topology: topology.clone(),
        places: Arc::new(Semaphore::new(config.clients_max as usize)),
        crowd: crowd::Crowd::default(),
        openings: Openings::default(),
        peer_openings: Openings::default(),
        load: Mutex::default(),
        config,
    });
    let mut endpoints = JoinSet::new();
    if let (Some(pooler), Some(asks)) = (pooler, asks) {
        for (thread, asks) in pooler.all().iter().zip(asks) {
            endpoints.spawn(proxy.clone().serve_pooler(thread.clone(), asks));
        }
    }
    if let Some(console) = console {
        endpoints.spawn(console.keep_averages());
    }
    for (endpoint, listener) in bound.0 {
        endpoints.spawn(proxy.clone().accept(endpoint, listener));
    }
    tokio::select! {
        _ = endpoints.join_next() => Err(ProxyError::Stopped),
        _ = topology.wait_for(|_| false) => Ok(()),
    }
}

/// What all connections of a node share.
struct Proxy {
    config: ProxyConfig,
    /// The threads that serve pooled clients, where there are to be any.
    pooler: Option<data::Threads>,
    /// Where it tells of itself.
    console: Option<Arc<Console>>,
    topology: watch::Receiver<Topology>,
    /// One for each of `clients_max`.
    places: Arc<Semaphore>,
    /// Clients by database, role and address.
    crowd: crowd::Crowd,
    openings: Openings,
    /// Of the peer port: clients keep no node out, and whoever has no certificate no client.
    peer_openings: Openings,
    /// Clients of this proxy on each node.
    load: Mutex<BTreeMap<NodeName, Gauge>>,
}
