//! Listening, with every bound named: who asks too slowly or too often waits, the agent never.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::routes::{Ports, routes};
use crate::{Access, Asker, Feeds};

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
        Ok(Server { config, listeners })
    }

    /// The addresses as the kernel gave them, where port 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Answers until it is dropped; then its connections end too.
    pub async fn run(self, feeds: Feeds) {
        let ports = Ports { feeds, access: self.config.access, lease_ttl: self.config.lease_ttl };
        let router = routes(ports);
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept(listener, router.clone(), slots.clone()));
        }
        while accepting.join_next().await.is_some() {}
    }
}

async fn accept(listener: TcpListener, router: Router, slots: Arc<Semaphore>) {
    let mut conversations = JoinSet::new();
    while let Ok(slot) = slots.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                conversations.spawn(converse(stream, peer, router.clone(), slot));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                sleep(ACCEPT_RETRY).await;
            }
        }
        while conversations.try_join_next().is_some() {}
    }
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    _slot: OwnedSemaphorePermit,
) {
    let service = TowerToHyperService::new(router.layer(Extension(Asker::plain(peer))));
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONVERSATION_MAX, conversation).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "an HTTP connection broke"),
        Err(_) => tracing::debug!(%peer, "an HTTP connection was open for too long"),
    }
}
