//! How a node asks the others without the store: over their HTTP, with its own certificate.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use howdah_agent::{Peers, Sign};
use howdah_api::client::Client;
use howdah_tls::Identity;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::prepare::Layout;

/// The other nodes' HTTP ports.
#[derive(Debug)]
pub struct Others {
    client: Client,
}

impl Others {
    /// Who asks is the node of `identity`.
    ///
    /// # Errors
    /// A CA's certificate that cannot be read.
    pub fn of(layout: &Layout, identity: &Arc<Identity>) -> anyhow::Result<Others> {
        let tls = howdah_tls::nodes_to_http(&layout.ca(), identity)?;
        Ok(Others { client: Client::by_tls(tls) })
    }
}

#[async_trait]
impl Peers for Others {
    async fn sign_of_life(&self, address: &str, within: Duration) -> Sign {
        match timeout(within, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => return Sign::Refused,
            Ok(Err(_)) | Err(_) => return Sign::Unreachable,
        }
        match self.client.get(address, "/liveness", within).await {
            Ok(answer) if answer.code == 200 => Sign::Alive,
            _ => Sign::Silent,
        }
    }
}
