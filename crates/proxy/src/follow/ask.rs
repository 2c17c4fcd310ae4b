//! Verifiers of roles, asked of nodes: each login of a pooled client is a question.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use howdah_base::NodeName;
use howdah_base::topology::Topology;
use howdah_wire::scram::Verifier;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::{Following, in_turn, kept::Kept, stream, view::address};
use crate::VerifierAsk;
use crate::peer::{receive, send};
use crate::route::Want;
use crate::tell::Asked;

/// Questions at once; more wait.
const ASKING_MAX: usize = 32;
/// One node's answer, dialled anew if need be: whoever asks waits for three seconds in all.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Of that, over a session that was kept: it may lead to a host that is no more.
const KEPT_ANSWER_WITHIN: Duration = Duration::from_millis(300);

type Session = TlsStream<TcpStream>;

/// Answers until nobody asks any more.
pub async fn ask_nodes(
    following: Following,
    topology: watch::Receiver<Topology>,
    mut asks: mpsc::Receiver<VerifierAsk>,
) {
    let desk = Arc::new(Desk { following, kept: Mutex::default() });
    let mut asking = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = asking.join_next() => {}
            ask = asks.recv(), if asking.len() < ASKING_MAX => {
                let Some(VerifierAsk { role, reply }) = ask else { return };
                // Whoever asked has given up, and may have asked again.
                if reply.is_closed() {
                    continue;
                }
                let (desk, now) = (desk.clone(), topology.borrow().clone());
                asking.spawn(async move {
                    if let Some(verifier) = desk.ask_in_turn(&now, role).await {
                        // Whoever asked may have gone.
                        drop(reply.send(verifier));
                    }
                });
            }
        }
    }
}

struct Desk {
    following: Following,
    kept: Mutex<Kept<Session>>,
}

impl Desk {
    /// A standby may not have heard of a new role, and the primary may be away. `None`: no node has
    /// answered.
    async fn ask_in_turn(&self, now: &Topology, role: String) -> Option<Option<Verifier>> {
        let asked = Asked { role };
        for node in in_turn(now) {
            match timeout(ANSWER_WITHIN, self.ask(now, &node, &asked)).await {
                Ok(Ok(verifier)) => return Some(verifier.and_then(|text| text.parse().ok())),
                Ok(Err(error)) => tracing::debug!(%node, %error, "no verifier from a node"),
                Err(_) => tracing::debug!(%node, "no verifier from a node in time"),
            }
        }
        None
    }

    async fn ask(
        &self,
        now: &Topology,
        node: &NodeName,
        asked: &Asked,
    ) -> io::Result<Option<String>> {
        let kept = self.kept().take(node, Instant::now());
        if let Some(session) = kept
            && let Ok(Ok(answer)) =
                timeout(KEPT_ANSWER_WITHIN, self.converse(node, session, asked)).await
        {
            return answer;
        }
        // What was kept may have ended meanwhile.
        let route = now.nodes.get(node).ok_or(io::ErrorKind::NotFound)?;
        let address = address(&route.host, route.peer_port);
        let following = &self.following;
        let opened = stream::open(&address, Some(node), Want::Verifiers, following).await;
        self.converse(node, opened?.1, asked).await?
    }

    /// The outer error is the connection's, the inner one the node's word.
    async fn converse(
        &self,
        node: &NodeName,
        mut session: Session,
        asked: &Asked,
    ) -> io::Result<io::Result<Option<String>>> {
        send(&mut session, asked).await?;
        let answer: Result<Option<String>, String> = receive(&mut session).await?;
        self.kept().keep(node.clone(), session, Instant::now());
        Ok(answer.map_err(io::Error::other))
    }

    fn kept(&self) -> MutexGuard<'_, Kept<Session>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
