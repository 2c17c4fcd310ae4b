//! What a node's proxy is told when it starts, and why it may not start.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use howdah_base::{Bytes, ClusterName, NodeName, Span};
use howdah_spec::hba::HbaRule;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::{mpsc, watch};

use crate::console::{ConsoleConfig, Metrics};
use crate::plea::Plea;
use crate::policy::Policy;
use crate::pooled::VerifierAsk;
use crate::{Counters, socket};

/// The endpoints of a node, or of a proxy on a host without one.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// This node; where there is none, a name that no node has.
    pub node: NodeName,
    pub cluster: ClusterName,
    pub listen: Vec<IpAddr>,
    /// One of `listen` that this machine may not have now: it is listened on all the same.
    pub virtual_ip: Option<IpAddr>,
    pub rw_port: u16,
    pub ro_port: u16,
    pub any_port: u16,
    /// `None`: this is no node, and nobody comes in as a peer.
    pub peers: Option<PeerDoor>,
    /// The rules in force; a change counts for the next client.
    pub hba: watch::Receiver<Arc<Vec<HbaRule>>>,
    /// For clients.
    pub server_tls: Arc<ServerConfig>,
    pub peer_client_tls: Arc<ClientConfig>,
    pub ro_max_lag: Bytes,
    pub ro_primary_fallback: bool,
    pub clients_max: u32,
    /// The rules of pools; a change counts from then on. Whether there are any is decided once, by
    /// the mode.
    pub policy: watch::Receiver<Arc<Policy>>,
    pub connect_wait: Span,
    /// A silent connection is probed after this long, and given up after twice as long.
    pub keepalive: Span,
    pub user_timeout: Span,
    pub counters: Arc<Counters>,
    /// Who may speak to the pooler itself, and what it shows beside pools.
    pub console: ConsoleConfig,
    /// Where `/metrics` asks.
    pub metrics: Metrics,
    /// Who knows the verifiers of this node's own server.
    pub verifiers: mpsc::Sender<VerifierAsk>,
    /// Where this node's own server has its private socket, which pools prefer to TCP.
    pub sockets: Option<PathBuf>,
    /// Without a node: the address by which nodes know this host. Its own clients are judged by it,
    /// because rules for loopback are about the nodes' hosts.
    pub known_as: Option<watch::Receiver<IpAddr>>,
}

impl ProxyConfig {
    /// The address that rules judge: a client on the host of a proxy without a node comes from that
    /// host, and not from the loopback of any node.
    pub(crate) fn known_as(&self, from: IpAddr) -> IpAddr {
        match &self.known_as {
            Some(known_as) if from.is_loopback() || socket::is_own(from) => *known_as.borrow(),
            _ => from,
        }
    }

    /// Whether it is an address of this node's own host (`samehost`).
    pub(crate) fn is_same_host(&self, from: IpAddr) -> bool {
        self.known_as.is_none() && socket::is_own(from)
    }
}

/// How other nodes, and proxies on hosts without one, come in.
#[derive(Clone, Debug)]
pub struct PeerDoor {
    pub port: u16,
    /// It must demand a certificate of the cluster CA.
    pub tls: Arc<ServerConfig>,
    /// Where their questions to this node's agent go.
    pub pleas: mpsc::Sender<Plea>,
    /// Who knows those verifiers that proxies may have: see decision 22.
    pub verifiers: mpsc::Sender<VerifierAsk>,
    /// The server's `pg_wal`, for other nodes while it is down.
    pub wal_dir: PathBuf,
}

/// The proxy does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error(
        "the {endpoint} endpoint cannot listen, {source}: `{address}`\nhint: give the node \
         another `{endpoint}_port` or `listen`, or stop what uses the port (`ss -ltnp`)"
    )]
    Bind { endpoint: &'static str, address: SocketAddr, source: io::Error },
    #[error("the pooler cannot start: {0}")]
    Pooler(io::Error),
    #[error("an endpoint stopped listening")]
    Stopped,
}
