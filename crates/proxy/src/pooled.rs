//! Pooled clients between their login and their thread: who proves that it is who it says is handed
//! over, and what the thread wants from the outside is done.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use howdah_spec::PoolMode;
use howdah_wire::relay::session::Settings;
use howdah_wire::scram::{Secret, Verifier};
use howdah_wire::{ErrorResponse, Replication, Startup};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::{Client, RETRY_PAUSE};
use crate::console::Operator;
use crate::credentials::Credentials;
use crate::data::{Ask, Handle, Newcomer, Order, Places, PoolKey, Routes, Threads};
use crate::{Endpoint, Proxy, ProxyConfig, console, data, gate};

/// One question for a role's verifier.
const VERIFIER_TIMEOUT: Duration = Duration::from_secs(3);
/// Cancel requests and logins into servers at once.
const JOBS_MAX: usize = 256;

/// The question which verifier a role has.
#[derive(Debug)]
pub struct VerifierAsk {
    pub role: String,
    /// `None`: it has none that SCRAM could go by, may not log in, or it is not to be told. Dropped
    /// without a word: nobody knows now.
    pub reply: oneshot::Sender<Option<Verifier>>,
}

/// Questions that wait; more are not asked.
pub const VERIFIER_ASKS_MAX: usize = 1_024;

/// Of the machine's cores the node's own server needs the other half.
const CORES_PER_THREAD: usize = 2;
/// Unless the file says how many there are to be.
const THREADS_MAX: usize = 8;

/// Starts the data threads, unless there is to be no pool.
pub(crate) fn start(
    config: &ProxyConfig,
) -> std::io::Result<Option<(Threads, Vec<mpsc::Receiver<Ask>>)>> {
    let policy = config.policy.borrow().clone();
    if policy.pool.mode == PoolMode::Off {
        return Ok(None);
    }
    let threads = policy.threads.map_or_else(by_cores, |threads| threads as usize);
    let routes = Routes::Cluster {
        me: config.node.clone(),
        ro_max_lag: config.ro_max_lag.0,
        ro_primary_fallback: config.ro_primary_fallback,
    };
    data::start(threads, &policy, &routes).map(Some)
}

fn by_cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    (cores / CORES_PER_THREAD).clamp(1, THREADS_MAX)
}

/// What a client finds before its pool.
pub(crate) struct Entrance {
    pool: PoolKey,
    settings: Settings,
    /// By which it is asked to prove itself.
    verifier: Verifier,
    /// What it is told first, where it asks for more than is spoken here.
    negotiation: Option<Vec<u8>>,
    minor: u16,
}

impl Proxy {
    /// The pool that a client may be let into; `None`: it is served without one, and the server
    /// asks it who it is.
    ///
    /// # Errors
    /// Nobody knows whether there is one.
    pub(crate) async fn pool_for(
        &self,
        endpoint: Endpoint,
        startup: &Startup<'_>,
    ) -> Result<Option<Entrance>, ErrorResponse> {
        if self.pooler.is_none() || startup.replication != Replication::No {
            return Ok(None);
        }
        let Some(settings) = startup.settings() else { return Ok(None) };
        let (database, user) = (startup.database().into_owned(), startup.user().into_owned());
        let Some(verifier) = self.verifier_of(&user).await? else { return Ok(None) };
        let pool = PoolKey { endpoint, database, user };
        let (negotiation, minor) = (startup.negotiation(), startup.spoken());
        Ok(Some(Entrance { pool, settings, verifier, negotiation, minor }))
    }

    /// A node whose own server does not answer leads clients to others, without a pool. A proxy on
    /// another host asks again: while nodes fail over it would lead whoever reconnects past the pool.
    async fn verifier_of(&self, role: &str) -> Result<Option<Verifier>, ErrorResponse> {
        let is_node = self.config.peers.is_some();
        let asking = async {
            loop {
                match self.ask_once(role).await {
                    Some(verifier) => return verifier,
                    None if is_node => return None,
                    None => sleep(RETRY_PAUSE).await,
                }
            }
        };
        // One question at least.
        let most = self.config.connect_wait.0.max(VERIFIER_TIMEOUT);
        timeout(most, asking).await.map_err(|_| {
            ErrorResponse::fatal("57P03", "no node says how the role is to log in").hint(
                "a failover may be under way; are the nodes up, and is their `peer_port` open?",
            )
        })
    }

    /// `None`: nobody knows now.
    async fn ask_once(&self, role: &str) -> Option<Option<Verifier>> {
        let (reply, answer) = oneshot::channel();
        self.config.verifiers.try_send(VerifierAsk { role: role.to_owned(), reply }).ok()?;
        timeout(VERIFIER_TIMEOUT, answer).await.ok()?.ok()
    }

    /// Whether a client wants to speak to the pooler itself.
    pub(crate) fn is_console(&self, startup: &Startup<'_>) -> bool {
        self.console.is_some() && startup.database() == console::DATABASE
    }

    /// Lets a client into its pool.
    pub(crate) async fn pool(
        &self,
        mut client: Client,
        entrance: Entrance,
        places: Places,
    ) -> std::io::Result<()> {
        let Entrance { pool, settings, verifier, negotiation, minor } = entrance;
        let Some(pooler) = &self.pooler else { return Ok(()) };
        let proof = async {
            // Nobody waits for it alone: it goes out with the question that follows.
            client.stream.write_all(&negotiation.unwrap_or_default()).await?;
            gate::prove(&mut client.stream, &verifier, client.end_point.as_deref()).await
        };
        let client_key = match self.openings.wait_for(gate::PROOF_TIMEOUT, proof).await? {
            Ok(client_key) => client_key,
            Err(refused) => {
                tracing::debug!(user = pool.user, %refused, "not let in");
                return self.refuse(client, gate::refusal(refused, &pool.user)).await;
            }
        };
        if let Some(console) = &self.console {
            if let Some(why) = console.closed(&pool.database) {
                return self.refuse(client, ErrorResponse::fatal("08P01", why)).await;
            }
            if pool.database == console::DATABASE {
                let (ends, tls) = (client.stream.ends(), client.stream.tls());
                let name = settings.get("application_name").map(ToString::to_string);
                let Some(may) = console.may(&pool.user) else {
                    return self.refuse(client, ErrorResponse::fatal("08P01", "not allowed")).await;
                };
                let application_name = name.unwrap_or_default();
                let operator = Operator { user: pool.user, may, ends, tls, application_name };
                return console.clone().serve(client.stream, client.early, operator).await;
            }
        }
        let line = client.stream.into_line()?;
        pooler.let_in(&pool.clone(), |seat| Newcomer {
            line,
            early: client.early,
            pool,
            secret: Arc::new(Credentials::Scram(Secret::Keys { client_key, verifier })),
            settings,
            minor,
            places,
            seat,
        });
        Ok(())
    }

    /// Does what a data thread asks for, and tells it what it has to know, until dropped.
    pub(crate) async fn serve_pooler(
        self: Arc<Proxy>,
        handle: Handle,
        mut asks: mpsc::Receiver<Ask>,
    ) {
        let mut topology = self.topology.clone();
        topology.mark_changed();
        let mut policy = self.config.policy.clone();
        let mut jobs = JoinSet::new();
        loop {
            tokio::select! {
                changed = topology.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = Arc::new(topology.borrow_and_update().clone());
                    handle.tell(Order::Topology(now));
                }
                Ok(()) = policy.changed() => {
                    handle.tell(Order::Policy(policy.borrow_and_update().clone()));
                }
                Some(_) = jobs.join_next() => {}
                ask = asks.recv(), if jobs.len() < JOBS_MAX => match ask {
                    Some(ask) => { jobs.spawn(self.clone().work(ask, handle.clone())); }
                    None => return,
                },
            }
        }
    }

    async fn work(self: Arc<Proxy>, ask: Ask, handle: Handle) {
        match ask {
            Ask::Open { pool, secret } => {
                let result = self.open(&pool, &secret).await.map(Box::new);
                handle.tell(Order::Opened { pool, result });
            }
            Ask::Cancel { site, key, server, born, done } => {
                let heard = self.cancel_pooled(&site, &key).await;
                handle.tell(Order::Cancelled { server, born, heard });
                drop(done);
            }
        }
    }
}
