//! Requests to cancel what a server does: a client's, passed on, and those of the pooler for the
//! server that a client of its has at the moment.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use howdah_wire::{Opening, Step, opening};
use tokio::io::{AsyncWriteExt, copy, sink};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::Proxy;
use crate::data::{Order, Threads};
use crate::negotiate::read_packet;
use crate::relay::Stream;
use crate::route::{Site, Want};

/// Bytes of a cancel request before its key.
const CANCEL_HEAD: usize = 8;
/// One server's answer to a cancel request, which is to hang up.
pub(crate) const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

impl Proxy {
    /// Passes a cancel request to every server, and to every node's pooler: the key is one's own, and
    /// the others ignore it. The client sees the end when all have.
    pub async fn cancel(&self, packet: &[u8], from: IpAddr) {
        if let Some(pooler) = &self.pooler {
            cancel_of(pooler, packet).await;
        }
        let now = self.topology.borrow().clone();
        for node in now.nodes.keys() {
            let request = async {
                let server = self.dial(node, Want::Cancel, &now, from).await?;
                pass_on(server, packet).await
            };
            let passed = timeout(CANCEL_TIMEOUT, request).await;
            tracing::debug!(%node, ?passed, "cancel request");
        }
    }

    /// A cancel request that came to another node: it is about a pooled client of this node's, or
    /// about its server. The asker sees the end when it has been heard.
    pub async fn cancel_here(&self, mut peer: impl Stream) -> io::Result<()> {
        let packet = timeout(CANCEL_TIMEOUT, read_packet(&mut peer)).await??;
        if !matches!(opening(&packet), Ok(Step::Packet(Opening::Cancel, _))) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if let Some(pooler) = &self.pooler {
            cancel_of(pooler, &packet).await;
        }
        let request = async { pass_on(self.dial_own(Want::Cancel).await?, &packet).await };
        let passed = timeout(CANCEL_TIMEOUT, request).await;
        tracing::debug!(?passed, "cancel request of a peer's");
        peer.shutdown().await
    }

    /// Cancels what a server does for a pooled client. `false`: it may do so at any later time.
    pub async fn cancel_pooled(&self, site: &Site, key: &[u8]) -> bool {
        // There are no others in a cluster.
        let Site::Node(route) = site else { return true };
        let now = self.topology.borrow().clone();
        let request = async {
            let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let server = self.dial(&route.node, Want::Cancel, &now, from).await?;
            pass_on(server, &cancel_request(key)).await
        };
        let passed = timeout(CANCEL_TIMEOUT, request).await;
        tracing::debug!(node = %route.node, ?passed, "cancel request of a pooled client");
        matches!(passed, Ok(Ok(_)))
    }
}

/// Cancels what the client with that key is about. Returns when it has been heard: a request that is
/// still on its way would hit the client's next statement.
pub(crate) async fn cancel_of(pooler: &Threads, packet: &[u8]) {
    let key = &packet[CANCEL_HEAD..];
    let Some(thread) = pooler.of_key(key) else { return };
    let (done, heard) = oneshot::channel();
    thread.tell(Order::Cancel { key: key.to_vec(), done });
    let _ = timeout(CANCEL_TIMEOUT, heard).await;
}

pub(crate) async fn pass_on(mut server: impl Stream, packet: &[u8]) -> io::Result<u64> {
    server.write_all(packet).await?;
    server.flush().await?;
    copy(&mut server, &mut sink()).await
}

/// PostgreSQL documentation, "Message Formats": CancelRequest.
pub(crate) fn cancel_request(key: &[u8]) -> Vec<u8> {
    let len = u32::try_from(8 + key.len()).unwrap_or(u32::MAX);
    [&len.to_be_bytes()[..], &[0x04, 0xd2, 0x16, 0x2e], key].concat()
}
