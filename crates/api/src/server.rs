//! Listening, with every bound named: who asks too slowly or too often waits, the agent never.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::audit::Audit;
use crate::join::{self, Doorkeeper};
use crate::routes::{Ports, routes};
use crate::tls::{self, Opened};
use crate::{Access, Asker, Feeds, MoreMetrics};

/// Connections open at once, over all addresses; the next ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 256;
/// A request's header must be complete in this time; also how long an idle connection is kept.
const HEADER_WAIT: Duration = Duration::from_secs(10);
/// Largest header of a request, in bytes, and most bytes that a connection has under way.
const HEADER_BYTES_MAX: usize = 16 * 1024;
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Longest life of a connection: longer than the longest request.
const CONVERSATION_MAX: Duration = Duration::from_secs(300);
/// After `accept` failed (no file descriptors are left, mostly), before it is tried again.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What `serve` needs to know.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    pub listen: Vec<SocketAddr>,
    /// Who may change something.
    pub access: Access,
    /// What the agent said longer ago than this counts for nothing.
    pub lease_ttl: Duration,
}

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen for HTTP: {source}: `{address}`\n\
     hint: choose another port for this node in the cluster file"
)]
pub struct ApiError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Listens and answers until it is dropped.
pub async fn serve(config: ApiConfig, feeds: Feeds) -> Result<(), ApiError> {
    Server::bind(config).await?.run(feeds).await;
    Ok(())
}

/// The addresses taken, nobody answered yet.
#[derive(Debug)]
pub struct Server {
    config: ApiConfig,
    tls: Option<Arc<ServerConfig>>,
    keeper: Option<Arc<dyn Doorkeeper>>,
    more_metrics: Option<MoreMetrics>,
    listeners: Vec<TcpListener>,
}

impl Server {
    /// Takes all addresses or none.
    pub async fn bind(config: ApiConfig) -> Result<Server, ApiError> {
        let mut listeners = Vec::new();
        for address in config.listen.iter().copied() {
            let listener =
                TcpListener::bind(address).await.map_err(|source| ApiError { address, source })?;
            listeners.push(listener);
        }
        Ok(Server { config, tls: None, keeper: None, more_metrics: None, listeners })
    }

    /// Speaks TLS too, on the same port, with whoever begins with a handshake.
    #[must_use]
    pub fn with_tls(self, tls: Arc<ServerConfig>) -> Server {
        Server { tls: Some(tls), ..self }
    }

    /// Lets new machines in.
    #[must_use]
    pub fn with_doorkeeper(self, keeper: Arc<dyn Doorkeeper>) -> Server {
        Server { keeper: Some(keeper), ..self }
    }

    /// Has somebody else add to `/metrics`.
    #[must_use]
    pub fn with_more_metrics(self, more: MoreMetrics) -> Server {
        Server { more_metrics: Some(more), ..self }
    }

    /// The addresses as the kernel gave them, where port 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Answers until it is dropped; then its connections end too.
    pub async fn run(self, feeds: Feeds) {
        self.run_when(async { Some(feeds) }).await;
    }

    /// The same for a node that is still starting: until `feeds` comes, machines can join, and
    /// everybody else hears that there is nothing to tell yet. Ends when `None` comes.
    pub async fn run_when(self, feeds: impl Future<Output = Option<Feeds>>) {
        let audit = Audit::new(&self.config.access.audit_dir);
        let early = join::early(self.keeper.clone(), Arc::clone(&audit));
        let (now, current) = watch::channel(early);
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            let reception = Reception { router: current.clone(), tls: self.tls.clone() };
            accepting.spawn(accept(listener, reception, slots.clone()));
        }
        let Some(feeds) = feeds.await else { return };
        let joining = self.keeper.map(|keeper| join::routes(keeper, Arc::clone(&audit)));
        let ports = Ports {
            feeds,
            audit,
            access: self.config.access,
            lease_ttl: self.config.lease_ttl,
            more_metrics: self.more_metrics,
        };
        let joining = joining.unwrap_or_default();
        // The router that was there answers no more.
        drop(now.send_replace(routes(ports).merge(joining)));
        while accepting.join_next().await.is_some() {}
    }
}

/// What a connection meets.
#[derive(Clone)]
struct Reception {
    router: watch::Receiver<Router>,
    tls: Option<Arc<ServerConfig>>,
}

async fn accept(listener: TcpListener, reception: Reception, slots: Arc<Semaphore>) {
    let mut conversations = JoinSet::new();
    while let Ok(slot) = slots.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                conversations.spawn(receive(stream, peer, reception.clone(), slot));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                sleep(ACCEPT_RETRY).await;
            }
        }
        while conversations.try_join_next().is_some() {}
    }
}

async fn receive(
    stream: TcpStream,
    peer: SocketAddr,
    reception: Reception,
    _slot: OwnedSemaphorePermit,
) {
    let opened = tls::open(stream, peer, reception.tls.as_ref()).await;
    // What was in force when the connection spoke up, not when it was made.
    let router = reception.router.borrow().clone();
    match opened {
        Ok((Opened::Plain(stream), asker)) => {
            converse(TokioIo::new(stream), asker, router).await;
        }
        Ok((Opened::Tls(stream), asker)) => converse(TokioIo::new(stream), asker, router).await,
        Err(error) => tracing::debug!(%peer, %error, "an HTTP connection did not open"),
    }
}

async fn converse(stream: impl Read + Write + Unpin, asker: Asker, router: Router) {
    let peer = asker.address;
    let service = TowerToHyperService::new(router.layer(Extension(asker)));
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(stream, service);
    match timeout(CONVERSATION_MAX, conversation).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "an HTTP connection broke"),
        Err(_) => tracing::debug!(%peer, "an HTTP connection was open for too long"),
    }
}
