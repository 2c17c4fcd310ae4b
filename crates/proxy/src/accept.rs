//! The loop that takes connections, from each endpoint.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::openings::Opening;
use crate::{CONNECTIONS_MORE, Endpoint, Proxy, socket};

/// After a failed accept: no file descriptor, mostly, and the next one fails as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Proxy {
    pub(crate) async fn accept(self: Arc<Proxy>, endpoint: Endpoint, listener: TcpListener) {
        let connections_max = self.config.clients_max as usize + CONNECTIONS_MORE;
        let openings = match endpoint {
            Endpoint::Peer => &self.peer_openings,
            _ => &self.openings,
        };
        let mut connections = JoinSet::new();
        loop {
            let one_more = async {
                openings.room().await;
                listener.accept().await
            };
            tokio::select! {
                Some(_) = connections.join_next() => {}
                accepted = one_more, if connections.len() < connections_max => {
                    match accepted {
                        Ok((tcp, from)) => {
                            let (proxy, opening) = (self.clone(), openings.begin());
                            connections.spawn(proxy.attend(endpoint, tcp, from.ip(), opening));
                        }
                        Err(error) => {
                            tracing::warn!(endpoint = endpoint.name(), %error, "cannot accept");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn tune(&self, tcp: &TcpStream) -> io::Result<()> {
        socket::tune(tcp, self.config.keepalive, self.config.user_timeout)
    }

    async fn attend(
        self: Arc<Proxy>,
        endpoint: Endpoint,
        tcp: TcpStream,
        from: IpAddr,
        opening: Opening,
    ) {
        let ended = match endpoint {
            Endpoint::Peer => self.peer(tcp, from, opening).await,
            _ => self.client(endpoint, tcp, from, opening).await,
        };
        if let Err(error) = ended {
            tracing::debug!(endpoint = endpoint.name(), %from, %error, "connection ended");
        }
    }
}
