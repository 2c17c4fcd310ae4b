//! The verifiers of this node's own server, for its pooler: asked anew for each login, so that a
//! role that was made or given another password a moment ago can log in. Over the private socket,
//! as the superuser, by a query that takes the name as a value.

use std::path::PathBuf;

use howdah_base::Redacted;
use howdah_postgres::session::Session;
use howdah_proxy::VerifierAsk;
use howdah_spec::NodeSpec;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// The database that is always there.
const DATABASE: &str = "postgres";

/// Of which roles verifiers are given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Roles {
    All,
    /// None that may do more than any user: what a proxy on another host may have.
    Ordinary,
}

/// Who asks, by what they are given: this node's own clients' proofs, and proxies on other hosts.
pub type Asks = [(mpsc::Receiver<VerifierAsk>, Roles); 2];

/// Answers from now on.
pub fn start(serving: &Runtime, asks: Asks, own: &NodeSpec) {
    for (asks, roles) in asks {
        serving.spawn(serve(asks, own.state_dir.join("run"), own.postgres_port, roles));
    }
}

/// Answers until nobody asks any more.
async fn serve(mut asks: mpsc::Receiver<VerifierAsk>, sockets: PathBuf, port: u16, roles: Roles) {
    let mut kept = None;
    while let Some(VerifierAsk { role, reply }) = asks.recv().await {
        // A session that was kept may be with a server that has ended.
        let mut text = match &kept {
            Some(session) => verifier(session, &role, roles).await,
            None => None,
        };
        if text.is_none() {
            kept = Session::connect(&sockets, port, DATABASE).await.ok();
            if let Some(session) = &kept {
                text = verifier(session, &role, roles).await;
            }
        }
        match text {
            Some(text) => drop(reply.send(text.and_then(|text| text.expose().parse().ok()))),
            // A client of this node is served as if there were no pool, and a proxy asks another node.
            None => kept = None,
        }
    }
}

/// `None`: the server has not answered.
async fn verifier(session: &Session, role: &str, roles: Roles) -> Option<Option<Redacted<String>>> {
    match session.verifier(role, roles == Roles::All).await {
        Ok(text) => Some(text),
        Err(error) => {
            tracing::debug!(%error, "cannot read a role's verifier");
            None
        }
    }
}
