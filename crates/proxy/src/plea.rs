//! A leader that has lost the store asks another node to take part in no takeover for a while: the
//! agents' matter, over the peer's port because only nodes of this cluster come in there.
//!
//! ```text
//! asker   preamble { want: Wait, term, from }
//! asked   Ok(milliseconds) or why not
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use howdah_base::{ClusterName, NodeName, Term};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::Proxy;
use crate::peer::{Preamble, VERSION, receive, send};
use crate::relay::Stream;
use crate::route::Want;

/// The agent writes its promise down first; then it counts for nothing any more.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Questions that wait for the agent.
pub const PLEAS_MAX: usize = 16;

/// What a peer asks of this node's agent.
#[derive(Debug)]
pub struct Plea {
    pub from: NodeName,
    pub term: Term,
    /// For how long, or why not.
    pub reply: oneshot::Sender<Result<Duration, String>>,
}

impl Proxy {
    pub(crate) async fn answer_plea(
        &self,
        peer: &mut impl Stream,
        preamble: &Preamble,
    ) -> io::Result<()> {
        let answer = match timeout(ANSWER_WITHIN, self.hand_over_plea(preamble)).await {
            Ok(answer) => answer,
            Err(_) => Err("its agent does not answer".to_owned()),
        };
        let answer = answer.map(|length| u64::try_from(length.as_millis()).unwrap_or(0));
        send(peer, &answer).await
    }

    async fn hand_over_plea(&self, preamble: &Preamble) -> Result<Duration, String> {
        self.is_meant(preamble)?;
        let from = preamble.from.clone().ok_or("who asks is not said")?;
        let (reply, answer) = oneshot::channel();
        let plea = Plea { from, term: preamble.term, reply };
        let gone = || "its agent has ended".to_owned();
        let door = self.config.peers.as_ref().ok_or("this is no node")?;
        door.pleas.send(plea).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// A question to the node `to`.
#[derive(Clone, Debug)]
pub struct PleaAsk {
    pub tls: Arc<ClientConfig>,
    pub cluster: ClusterName,
    pub from: NodeName,
    pub to: NodeName,
    /// Where its peer port is: `host:port`.
    pub address: String,
    pub term: Term,
}

/// For how long `to` takes part in no takeover, counted from before this is called.
///
/// # Errors
/// Why it does not promise that, or why there is no answer.
pub async fn plead(ask: PleaAsk) -> Result<Duration, String> {
    let to = ask.to.clone();
    let length: Result<u64, String> =
        converse(ask).await.map_err(|error| format!("`{to}` does not answer: {error}"))?;
    length.map(Duration::from_millis)
}

async fn converse(ask: PleaAsk) -> io::Result<Result<u64, String>> {
    let PleaAsk { tls, cluster, from, to, address, term } = ask;
    let tcp = TcpStream::connect(&address).await?;
    let name = ServerName::try_from(to.to_string()).map_err(io::Error::other)?;
    let mut peer = TlsConnector::from(tls).connect(name, tcp).await?;
    let client = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let preamble = Preamble {
        version: VERSION,
        cluster,
        to,
        term,
        want: Want::Wait,
        client,
        from: Some(from),
        file: None,
    };
    send(&mut peer, &preamble).await?;
    receive(&mut peer).await
}
