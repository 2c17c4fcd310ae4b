//! What a node tells proxies on hosts without a node, over its peer port: where the servers are and by
//! which rules clients are served, and the verifiers of roles.
//!
//! ```text
//! proxy   preamble { want: Follow }
//! node    Ok · News · News · …              at every change, and each second as a sign of life
//!
//! proxy   preamble { want: Verifiers }
//! node    Ok
//! proxy   Asked { role } ─► node   Ok(verifier, or none) or why not   · and so on
//! ```

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use howdah_base::topology::Topology;
use howdah_base::{Bytes, Span};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::config::PeerDoor;
use crate::peer::{receive, send};
use crate::policy::Policy;
use crate::pooled::VerifierAsk;
use crate::relay::Stream;
use crate::{Operators, Proxy};

/// Between two signs of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// Whoever takes nothing for so long is gone.
const STALL_MAX: Duration = Duration::from_secs(3);
/// Bytes of one piece of news: rules of pg_hba are the most of it.
const NEWS_BYTES_MAX: usize = 4 << 20;
/// A proxy asks anew when it has something to ask.
const QUESTION_WITHIN: Duration = Duration::from_secs(60);
/// This node's own server answers within it, or it is not there.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// One piece of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct News {
    pub topology: Topology,
    /// With the first, and whenever they have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
}

/// By which rules clients are served: what a proxy has to know of the cluster file, and no more.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rules {
    /// The proxy's address, as the node sees it.
    pub known_as: IpAddr,
    /// Lines of pg_hba.
    pub hba: Vec<String>,
    pub policy: Policy,
    /// Who is let into the console.
    pub operators: Operators,
    pub ro_max_lag: Bytes,
    pub ro_primary_fallback: bool,
    pub clients_max: u32,
    pub connect_wait: Span,
    pub keepalive: Span,
    pub user_timeout: Span,
}

/// The question for a role's verifier.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub role: String,
}

impl Proxy {
    /// Tells until nobody listens any more.
    pub(crate) async fn tell(&self, peer: &mut impl Stream, from: IpAddr) -> io::Result<()> {
        tracing::info!(%from, "a proxy follows this node");
        let mut topology = self.topology.clone();
        let (mut hba, mut policy) = (self.config.hba.clone(), self.config.policy.clone());
        let mut operators = self.config.console.operators.clone();
        hba.mark_unchanged();
        policy.mark_unchanged();
        operators.mark_unchanged();
        let mut rules = Some(self.rules_for(from));
        loop {
            let now = topology.borrow_and_update().clone();
            let news = News { topology: now, rules: rules.take() };
            timeout(STALL_MAX, send_long(peer, &news)).await??;
            tokio::select! {
                changed = topology.changed() => changed.map_err(io::Error::other)?,
                Ok(()) = hba.changed() => rules = Some(self.rules_for(from)),
                Ok(()) = policy.changed() => rules = Some(self.rules_for(from)),
                Ok(()) = operators.changed() => rules = Some(self.rules_for(from)),
                () = sleep(SIGN_OF_LIFE) => {}
            }
        }
    }

    fn rules_for(&self, from: IpAddr) -> Rules {
        let config = &self.config;
        Rules {
            known_as: from.to_canonical(),
            hba: config.hba.borrow().iter().map(|rule| rule.line.clone()).collect(),
            policy: config.policy.borrow().as_ref().clone(),
            operators: config.console.operators.borrow().as_ref().clone(),
            ro_max_lag: config.ro_max_lag,
            ro_primary_fallback: config.ro_primary_fallback,
            clients_max: config.clients_max,
            connect_wait: config.connect_wait,
            keepalive: config.keepalive,
            user_timeout: config.user_timeout,
        }
    }

    /// Answers for as long as somebody asks.
    pub(crate) async fn give_verifiers(
        &self,
        peer: &mut impl Stream,
        door: &PeerDoor,
    ) -> io::Result<()> {
        loop {
            let Asked { role } = timeout(QUESTION_WITHIN, receive(peer)).await??;
            let (reply, answer) = oneshot::channel();
            let asked = door.verifiers.try_send(VerifierAsk { role, reply });
            let answer = match asked {
                Ok(()) => timeout(ANSWER_WITHIN, answer).await.ok().and_then(Result::ok),
                Err(_) => None,
            };
            let answer = answer.ok_or("this node's server does not answer");
            let answer = answer.map(|verifier| verifier.map(|verifier| verifier.to_string()));
            timeout(STALL_MAX, send(peer, &answer)).await??;
        }
    }
}

/// As [`send`], for what may be longer.
async fn send_long(stream: &mut impl Stream, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(value)?;
    let len = u32::try_from(text.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes()[..], &text].concat()).await?;
    stream.flush().await
}

pub(crate) async fn receive_long<T: DeserializeOwned>(stream: &mut impl Stream) -> io::Result<T> {
    let len = stream.read_u32().await? as usize;
    let len = Some(len).filter(|len| *len <= NEWS_BYTES_MAX).ok_or(io::ErrorKind::InvalidData)?;
    let mut text = vec![0; len];
    stream.read_exact(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}
