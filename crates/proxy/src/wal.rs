//! WAL files of a server that is down, for the node that its term is handed to (PROTOCOL
//! section 6.3).
//!
//! ```text
//! asker   preamble { want: Wal, term, file }
//! giver   Ok(length) or why not · the bytes · Ok or why they count for nothing
//! ```
//!
//! The peer's port is the door for it because only nodes of this cluster come in there, over
//! mutual TLS 1.3, and because the asker's preamble carries the term. Files are given out only
//! while this node leads that term without a process of its server; the last word is said after
//! the last byte, so that a file which was read while the server was being started again counts
//! for nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use howdah_base::{ClusterName, NodeName, Term, WalFile};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::Proxy;
use crate::peer::{Preamble, VERSION, receive, send};
use crate::relay::Stream;
use crate::route::{Want, judge_peer};

/// A node that has not answered by then is taken for gone.
const OPEN_WITHIN: Duration = Duration::from_secs(2);
/// So long no byte may come or go, over the network or from the disk.
const STALL_MAX: Duration = Duration::from_secs(2);
const CHUNK_BYTES: usize = 256 * 1024;
/// The largest `wal_segment_size`, bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

impl Proxy {
    /// Gives one file out to a peer, if this node may.
    pub(crate) async fn give_wal(
        &self,
        peer: &mut impl Stream,
        preamble: &Preamble,
    ) -> io::Result<()> {
        let opened = self.open_wal(preamble).await;
        let answer = opened.as_ref().map(|(_, len)| *len).map_err(String::clone);
        timeout(STALL_MAX, send(peer, &answer)).await??;
        let Ok((mut file, mut left)) = opened else { return Ok(()) };
        tracing::info!(file = ?preamble.file, "giving WAL of the ended server to a peer");
        let mut chunk = vec![0; CHUNK_BYTES];
        while left > 0 {
            let most = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            // The disk may hang: it may be why the server has ended.
            let read = timeout(STALL_MAX, file.read(&mut chunk[..most])).await??;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            timeout(STALL_MAX, peer.write_all(&chunk[..read])).await??;
            left -= read as u64;
        }
        let last = judge_peer(&self.topology.borrow(), preamble.term, Want::Wal);
        timeout(STALL_MAX, send(peer, &last)).await?
    }

    async fn open_wal(&self, preamble: &Preamble) -> Result<(File, u64), String> {
        self.is_meant(preamble)?;
        judge_peer(&self.topology.borrow(), preamble.term, Want::Wal)?;
        let name = preamble.file.as_ref().ok_or("no file is named")?;
        let door = self.config.peers.as_ref().ok_or("this is no node")?;
        let path = door.wal_dir.join(name.as_str());
        let opened = async {
            let file = File::open(&path).await?;
            let meta = file.metadata().await?;
            if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Ok::<_, io::Error>((file, meta.len()))
        };
        let opened = timeout(STALL_MAX, opened).await.map_err(io::Error::from).flatten();
        opened.map_err(|error| format!("cannot read `{name}`: {error}"))
    }
}

/// One WAL file of another node.
#[derive(Clone, Debug)]
pub struct WalAsk {
    pub tls: Arc<ClientConfig>,
    pub cluster: ClusterName,
    pub from: NodeName,
    pub host: String,
    pub peer_port: u16,
    /// The term that `from` leads without a server.
    pub term: Term,
    pub file: WalFile,
    /// How long the file must be, bytes.
    pub len: u64,
}

/// Reads it into `into`; what lies there counts only when this is `Ok`.
pub async fn fetch_wal(ask: &WalAsk, into: &mut (impl AsyncWrite + Unpin)) -> Result<(), String> {
    let WalAsk { from, file, len, .. } = ask;
    let failed = |error: io::Error| format!("cannot fetch `{file}` from `{from}`: {error}");
    let mut peer = timeout(OPEN_WITHIN, open(ask)).await.map_err(|_| {
        format!("cannot fetch `{file}` from `{from}`: no answer within {OPEN_WITHIN:?}")
    })??;
    let offered = said::<u64>(&mut peer).await.map_err(failed)??;
    if offered != *len {
        return Err(format!("`{file}` of `{from}` has {offered} bytes instead of {len}"));
    }
    let mut left = *len;
    let mut chunk = vec![0; CHUNK_BYTES];
    while left > 0 {
        let most = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let read = timeout(STALL_MAX, peer.read(&mut chunk[..most])).await;
        let read = read.map_err(|late| failed(late.into()))?.map_err(failed)?;
        if read == 0 {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        into.write_all(&chunk[..read]).await.map_err(failed)?;
        left -= read as u64;
    }
    into.flush().await.map_err(failed)?;
    said::<()>(&mut peer).await.map_err(failed)?
}

async fn open(ask: &WalAsk) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let WalAsk { from, file, .. } = ask;
    let opened = async {
        let tcp = TcpStream::connect((ask.host.as_str(), ask.peer_port)).await?;
        // By the node's name: whoever has taken its address over is not it.
        let name = ServerName::try_from(from.to_string()).map_err(io::Error::other)?;
        let mut peer = TlsConnector::from(ask.tls.clone()).connect(name, tcp).await?;
        let preamble = Preamble {
            version: VERSION,
            cluster: ask.cluster.clone(),
            to: from.clone(),
            term: ask.term,
            want: Want::Wal,
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            from: None,
            file: Some(file.clone()),
        };
        send(&mut peer, &preamble).await?;
        Ok::<_, io::Error>(peer)
    };
    opened.await.map_err(|error| format!("cannot fetch `{file}` from `{from}`: {error}"))
}

async fn said<T: serde::de::DeserializeOwned>(
    peer: &mut impl Stream,
) -> io::Result<Result<T, String>> {
    timeout(STALL_MAX, receive(peer)).await?
}
