//! How a node asks the others without the store: over their HTTP, with its own certificate.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use howdah_agent::{Peers, Sign};
use howdah_api::client::Client;
use howdah_base::{ClusterName, NodeName, Term};
use howdah_proxy::PleaAsk;
use howdah_tls::Identity;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::prepare::Prepared;

/// The other nodes' HTTP ports.
#[derive(Debug)]
pub struct Others {
    client: Client,
    tls: Arc<ClientConfig>,
    cluster: ClusterName,
    own: NodeName,
}

impl Others {
    /// Who asks is the node of `identity`.
    ///
    /// # Errors
    /// A CA's certificate that cannot be read.
    pub fn of(
        prepared: &Prepared,
        own: &NodeName,
        identity: &Arc<Identity>,
    ) -> anyhow::Result<Others> {
        let ca = prepared.layout.ca();
        Ok(Others {
            client: Client::by_tls(howdah_tls::nodes_to_http(&ca, identity)?),
            tls: howdah_tls::to_peers(&ca, identity)?,
            cluster: prepared.spec.cluster.clone(),
            own: own.clone(),
        })
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

    async fn plead(
        &self,
        node: &NodeName,
        address: &str,
        term: Term,
        within: Duration,
    ) -> Result<Duration, String> {
        let ask = PleaAsk {
            tls: self.tls.clone(),
            cluster: self.cluster.clone(),
            from: self.own.clone(),
            to: node.clone(),
            address: address.to_owned(),
            term,
        };
        match timeout(within, howdah_proxy::plead(ask)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {within:?}")),
        }
    }
}
