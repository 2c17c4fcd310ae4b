//! What one node tells, for as long as it is to be followed.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use howdah_base::{ClusterName, NodeName, Term};
use howdah_tls::{Certificate, refused};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Following;
use crate::peer::{Preamble, VERSION, receive, send};
use crate::route::Want;
use crate::tell::{News, receive_long};

/// Until a node has answered.
const OPEN_WITHIN: Duration = Duration::from_secs(3);
/// A node that is silent for so long, three signs of life, is asked anew.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Before a node is asked anew.
const PAUSE: Duration = Duration::from_millis(500);

/// What a node has said.
pub(super) struct Heard {
    pub from: NodeName,
    pub news: News,
}

/// Follows the node at `address` until dropped, or until nobody wants to know any more.
pub(super) async fn keep(address: String, following: Following, news: mpsc::Sender<Heard>) {
    let mut told = String::new();
    while !news.is_closed() {
        let why = match listen(&address, &following, &news).await {
            Ok(()) => return,
            Err(error) => words(&error, &address),
        };
        // Not each time: a node may be away for hours.
        if why == told {
            tracing::debug!(address, why, "a node cannot be followed");
        } else {
            tracing::warn!(address, why, "a node cannot be followed");
            told = why;
        }
        sleep(PAUSE).await;
    }
}

async fn listen(
    address: &str,
    following: &Following,
    news: &mpsc::Sender<Heard>,
) -> io::Result<()> {
    let opening = open(address, None, Want::Follow, following);
    let (from, mut peer) = timeout(OPEN_WITHIN, opening).await??;
    tracing::debug!(address, node = %from, "following a node");
    loop {
        let heard = timeout(SILENCE_MAX, receive_long(&mut peer)).await??;
        if news.send(Heard { from: from.clone(), news: heard }).await.is_err() {
            return Ok(());
        }
    }
}

/// Connects to the node at an address, which must be `node` if one is named. Which node it is, its
/// certificate says.
pub(super) async fn open(
    address: &str,
    node: Option<&NodeName>,
    want: Want,
    following: &Following,
) -> io::Result<(NodeName, TlsStream<TcpStream>)> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = node.map_or_else(|| host.to_owned(), ToString::to_string);
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let mut peer = TlsConnector::from(following.tls.clone()).connect(name, tcp).await?;
    let to = certified(&peer).ok_or_else(|| io::Error::other("it is no node of the cluster"))?;
    let preamble = preamble(following.cluster.clone(), to.clone(), want);
    send(&mut peer, &preamble).await?;
    receive::<Result<(), String>>(&mut peer).await?.map_err(io::Error::other)?;
    Ok((to, peer))
}

fn preamble(cluster: ClusterName, to: NodeName, want: Want) -> Preamble {
    let client = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let term = Term::default();
    Preamble { version: VERSION, cluster, to, term, want, client, from: None, file: None }
}

/// Another proxy's certificate names no node.
fn certified(peer: &TlsStream<TcpStream>) -> Option<NodeName> {
    let first = peer.get_ref().1.peer_certificates()?.first()?;
    Certificate::of(first).ok()?.common_name.parse().ok()
}

/// Why not, and what to do where that is known.
fn words(error: &io::Error, address: &str) -> String {
    match refused(error) {
        Some(why) => format!("{}; hint: {}", why.sentence(address), why.hint()),
        None => error.to_string(),
    }
}
