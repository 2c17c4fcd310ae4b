//! Bytes both ways, until either side ends or the server is deposed.

use std::sync::atomic::Ordering::Relaxed;
use std::{future, io};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};

use crate::Proxy;
use crate::route::Route;

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub type BoxStream = Box<dyn Stream>;

impl Proxy {
    /// A cut lets both sides go in mid-air: an error message would only be safe between two
    /// messages of the server's, and where those are nobody here knows.
    pub async fn relay(
        &self,
        client: impl Stream,
        server: impl Stream,
        mut route: Route,
    ) -> io::Result<()> {
        let (mut from_client, mut to_client) = split(client);
        let (mut from_server, mut to_server) = split(server);
        let up = async {
            copy(&mut from_client, &mut to_server).await?;
            to_server.shutdown().await?;
            // The server ends the session once it has answered what it was asked.
            future::pending().await
        };
        let down = async {
            copy(&mut from_server, &mut to_client).await?;
            to_client.shutdown().await
        };
        let mut topology = self.topology.clone();
        let deposed = topology.wait_for(|now| route.is_over(now));
        tokio::select! {
            biased;
            _ = deposed => self.config.counters.cut.fetch_add(1, Relaxed),
            done = up => return done,
            done = down => return done,
        };
        Ok(())
    }
}
