//! From node to node, and from a proxy on another host to a node: a preamble over mutual TLS, judged by
//! the node whose server is meant.

use std::io;
use std::net::IpAddr;

use howdah_base::topology::Topology;
use howdah_base::{ClusterName, NodeName, Term, WalFile};
use howdah_tls::Member;
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, server};

use crate::arrival::Arrival;
use crate::relay::{BoxStream, Stream};
use crate::route::{Route, Want, judge_peer};
use crate::{Endpoint, OPENING_TIMEOUT, Proxy, openings, socket};

/// Raised when an older node would misread the preamble.
pub(crate) const VERSION: u32 = 1;

/// Over the private socket it is let in without a password, as who the server runs as.
const SUPERUSER: &str = "postgres";

/// What a node says first. The answer is `Ok`, or why not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Preamble {
    pub version: u32,
    pub cluster: ClusterName,
    pub to: NodeName,
    pub term: Term,
    pub want: Want,
    /// Whom it is for.
    pub client: IpAddr,
    /// Who asks, with [`Want::Wait`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NodeName>,
    /// Which one is wanted, with [`Want::Wal`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<WalFile>,
}

impl Proxy {
    /// Connects to a node's server, through its proxy when it is another's.
    pub async fn dial(
        &self,
        to: &NodeName,
        want: Want,
        now: &Topology,
        client: IpAddr,
    ) -> io::Result<BoxStream> {
        if *to == self.config.node {
            return Ok(Box::new(self.dial_own(want).await?));
        }
        Ok(Box::new(self.dial_peer(to, want, now, client).await?))
    }

    /// Connects to another node's server, through its proxy.
    pub async fn dial_peer(
        &self,
        to: &NodeName,
        want: Want,
        now: &Topology,
        client: IpAddr,
    ) -> io::Result<TlsStream<TcpStream>> {
        let route = now.nodes.get(to).ok_or(io::ErrorKind::NotFound)?;
        let name = ServerName::try_from(route.host.clone()).map_err(io::Error::other)?;
        let tcp = TcpStream::connect((route.host.as_str(), route.peer_port)).await?;
        self.tune(&tcp)?;
        let tls = TlsConnector::from(self.config.peer_client_tls.clone());
        let mut peer = tls.connect(name, tcp).await?;
        let (to, cluster) = (to.clone(), self.config.cluster.clone());
        let preamble = Preamble {
            version: VERSION,
            cluster,
            to,
            term: now.term,
            want,
            client,
            from: None,
            file: None,
        };
        send(&mut peer, &preamble).await?;
        receive::<Result<(), String>>(&mut peer).await?.map_err(io::Error::other)?;
        Ok(peer)
    }

    pub async fn dial_own(&self, want: Want) -> io::Result<Arrival<TcpStream>> {
        self.dial_own_as(want, None).await
    }

    /// The client counts as arriving before the last look at whether the server closes: whoever
    /// closes it sees every client that it has to let through. `pooled`: the role of a pool's
    /// session.
    pub async fn dial_own_as(
        &self,
        want: Want,
        pooled: Option<&str>,
    ) -> io::Result<Arrival<TcpStream>> {
        let arriving = (want != Want::Cancel).then(|| self.config.counters.arriving.hold());
        let now = self.topology.borrow().local;
        if arriving.is_some() && now.closing {
            return Err(io::Error::other("this server is about to be shut down"));
        }
        let ordinary = pooled.is_some_and(|role| role != SUPERUSER);
        let server = match self.config.sockets.as_ref().filter(|_| ordinary) {
            Some(directory) => socket::call_socket(directory, now.postgres_port).await?,
            None => {
                let server = socket::call_server(now.postgres_port).await?;
                self.tune(&server)?;
                server
            }
        };
        Ok(Arrival::new(server, arriving))
    }

    /// Serves a peer: most want this node's server, for a client of theirs.
    pub async fn peer(
        &self,
        tcp: TcpStream,
        from: IpAddr,
        opening: openings::Opening,
    ) -> io::Result<()> {
        let Some(door) = &self.config.peers else { return Ok(()) };
        let opened = async {
            self.tune(&tcp)?;
            let mut peer = TlsAcceptor::from(door.tls.clone()).accept(tcp).await?;
            let preamble: Preamble = receive(&mut peer).await?;
            Ok((peer, preamble))
        };
        let (mut peer, preamble) = opening.wait_for(OPENING_TIMEOUT, opened).await?;
        let greet = async {
            if let Err(why) = may_ask(&peer, preamble.want) {
                tracing::warn!(%from, want = ?preamble.want, why, "a peer is refused");
                send(&mut peer, &Err::<(), _>(why)).await?;
                peer.shutdown().await?;
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            if matches!(preamble.want, Want::Wait | Want::Wal) {
                return Ok((peer, preamble, None));
            }
            if matches!(preamble.want, Want::Cancel | Want::Follow | Want::Verifiers) {
                let meant = self.is_meant(&preamble);
                send(&mut peer, &meant).await?;
                meant.map_err(io::Error::other)?;
                return Ok((peer, preamble, None));
            }
            let server = self.let_in(&preamble).await;
            send(&mut peer, &server.as_ref().map(|_| ())).await?;
            Ok::<_, io::Error>((peer, preamble, Some(server.map_err(io::Error::other)?)))
        };
        let (mut peer, preamble, server) = timeout(OPENING_TIMEOUT, greet).await??;
        let Some(server) = server else {
            return match preamble.want {
                Want::Wal => self.give_wal(&mut peer, &preamble).await,
                Want::Cancel => self.cancel_here(peer).await,
                Want::Follow => self.tell(&mut peer, from).await,
                Want::Verifiers => self.give_verifiers(&mut peer, door).await,
                _ => self.answer_plea(&mut peer, &preamble).await,
            };
        };
        let _held = self.config.counters.enter(Endpoint::Peer);
        let term = (preamble.want == Want::Primary).then_some(preamble.term);
        self.relay(peer, server, Route { node: preamble.to, local: true, term }).await
    }

    async fn let_in(&self, preamble: &Preamble) -> Result<Arrival<TcpStream>, String> {
        let Preamble { term, want, client, .. } = preamble;
        self.is_meant(preamble)?;
        let now = self.topology.borrow().clone();
        judge_peer(&now, *term, *want)?;
        tracing::debug!(%client, %term, ?want, "serving a peer's client");
        self.dial_own(*want).await.map_err(|error| format!("the server is not there, {error}"))
    }
}

impl Proxy {
    pub(crate) fn is_meant(&self, preamble: &Preamble) -> Result<(), String> {
        let Preamble { version, cluster, to, .. } = preamble;
        if (*version, cluster, to) != (VERSION, &self.config.cluster, &self.config.node) {
            tracing::warn!(version, %cluster, %to, "a peer means another node");
            return Err(format!("this is `{}` of `{}`", self.config.node, self.config.cluster));
        }
        Ok(())
    }
}

/// Whether whoever has come may ask for that; else why not.
fn may_ask(peer: &server::TlsStream<TcpStream>, want: Want) -> Result<(), &'static str> {
    let certificates = peer.get_ref().1.peer_certificates();
    match certificates.and_then(|chain| Member::of(chain.first()?)) {
        Some(Member::Node) => Ok(()),
        Some(Member::Proxy(_)) if want.is_for_proxies() => Ok(()),
        Some(Member::Proxy(_)) => Err("only nodes may ask for that, and this is a proxy"),
        None => Err("neither a node nor a proxy of this cluster"),
    }
}

/// A JSON text behind its length in two bytes: bounded by itself.
pub(crate) async fn send(stream: &mut impl Stream, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(value)?;
    let len = u16::try_from(text.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes()[..], &text].concat()).await?;
    stream.flush().await
}

pub(crate) async fn receive<T: DeserializeOwned>(stream: &mut impl Stream) -> io::Result<T> {
    let mut text = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}
