//! One member of etcd, and the connection to it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use etcd_client::{
    Channel, Client, ConnectOptions, Error, GetOptions, GetResponse, KvClient, LeaseClient, Txn,
    TxnResponse, WatchClient, WatchOptions, WatchStream,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::fault::{self, Fault};
use super::keys;
use super::options::{EtcdOptions, TlsFiles};

/// One endpoint. It is connected when it is first needed, and anew after its connection failed.
pub(super) struct Member {
    pub(super) endpoint: String,
    number: usize,
    options: Arc<EtcdOptions>,
    /// The etcd cluster that answered first: a list of endpoints that mixes two would give two
    /// nodes the lead.
    cluster: Arc<OnceLock<u64>>,
    state: Mutex<State>,
}

/// How far the connection is.
#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Absent,
    Connecting(Attempt),
    Connected(Arc<Link>),
}

/// Has the answer once there is one.
type Attempt = watch::Receiver<Option<Result<Arc<Link>, Fault>>>;

async fn ended(mut attempt: Attempt) -> Result<Arc<Link>, Fault> {
    let ended = attempt.wait_for(Option::is_some).await;
    ended.ok().and_then(|answer| answer.clone()).unwrap_or_else(|| Err(Fault::away("gone")))
}

impl Member {
    pub(super) fn new(
        number: usize,
        endpoint: &str,
        options: Arc<EtcdOptions>,
        cluster: Arc<OnceLock<u64>>,
    ) -> Member {
        let endpoint = endpoint.to_owned();
        Member { endpoint, number, options, cluster, state: Mutex::default() }
    }

    /// The connection that is there, or a new one. Whoever gives up waiting leaves the attempt
    /// to the next who asks: to log in costs etcd a tenth of a second of a processor, and a
    /// loaded one would never get to the end of it.
    ///
    /// An attempt that had begun before may have read files that were renewed since: what etcd
    /// refused to it is tried once more.
    pub(super) async fn link(self: &Arc<Member>) -> Result<Arc<Link>, Fault> {
        let (attempt, began_before) = match self.take_up() {
            Ok(link) => return Ok(link),
            Err(attempt) => attempt,
        };
        match ended(attempt).await {
            Err(Fault::Refused { .. }) if began_before => match self.take_up() {
                Ok(link) => Ok(link),
                Err((attempt, _)) => ended(attempt).await,
            },
            answer => answer,
        }
    }

    /// The connection that is there; else the attempt at one, and whether it had begun before.
    fn take_up(self: &Arc<Member>) -> Result<Arc<Link>, (Attempt, bool)> {
        let mut state = self.state();
        match &*state {
            State::Connected(link) => Ok(Arc::clone(link)),
            State::Connecting(attempt) => Err((attempt.clone(), true)),
            State::Absent => {
                let (done, attempt) = watch::channel(None);
                *state = State::Connecting(attempt.clone());
                tokio::spawn(Arc::clone(self).attempt(done));
                Err((attempt, false))
            }
        }
    }

    async fn attempt(self: Arc<Member>, done: watch::Sender<Option<Result<Arc<Link>, Fault>>>) {
        let answer = match timeout(CONNECT_MAX, self.connect()).await {
            Ok(answer) => answer.map(Arc::new).map_err(|fault| self.suspect_tls(fault)),
            Err(_) => Err(Fault::away("it accepts connections and does not answer")),
        };
        *self.state() = answer.clone().map_or(State::Absent, State::Connected);
        done.send_replace(Some(answer));
    }

    pub(super) fn present(&self) -> Option<Arc<Link>> {
        match &*self.state() {
            State::Connected(link) => Some(Arc::clone(link)),
            State::Absent | State::Connecting(_) => None,
        }
    }

    /// The next call connects anew.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        if matches!(&*state, State::Connected(_)) {
            *state = State::Absent;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Link, Fault> {
        let channel = self.endpoint().await?.connect().await;
        let channel = channel.map_err(|error| fault::judge_transport(&error))?;
        let login = self.options.login.clone();
        let client = match self.log_in(channel.clone(), login.is_some()).await {
            Err(Fault::NoAuthentication) => self.log_in(channel, false).await?,
            answer => answer?,
        };
        let link = Link {
            member: self.number,
            kv: client.kv_client().max_decoding_message_size(ANSWER_MAX),
            lease: client.lease_client(),
            watch: client.watch_client().max_decoding_message_size(ANSWER_MAX),
            heard: Mutex::new(Instant::now()),
        };
        self.greet(&link).await?;
        Ok(link)
    }

    async fn log_in(
        &self,
        channel: tonic::transport::Channel,
        with_user: bool,
    ) -> Result<Client, Fault> {
        // A member that knows no leader says so instead of waiting for one.
        let mut options = ConnectOptions::new().with_require_leader(true);
        if let Some((user, password)) = self.options.login.as_ref().filter(|_| with_user) {
            // What etcd refuses for an old login it has not applied: it may be sent again.
            options = options.with_user(user, password.expose()).with_auto_token_refresh(true);
        }
        let client = Client::from_channel(Channel::Tonic(channel), Some(options)).await;
        client.map_err(|error| fault::judge(&error))
    }

    /// Asks what needs the member alone: whether it answers, lets this user read, and is of the
    /// etcd cluster that answered first.
    async fn greet(&self, link: &Link) -> Result<(), Fault> {
        let look = keys::count().with_serializable();
        let answer = link.get(&self.options.prefix, look).await?;
        let found = answer.header().map_or(0, etcd_client::ResponseHeader::cluster_id);
        let first = *self.cluster.get_or_init(|| found);
        if first == found {
            return Ok(());
        }
        let why = format!("it is of etcd cluster {found:x}, the others are of {first:x}");
        Err(Fault::Refused { why, hint: ANOTHER_CLUSTER })
    }

    /// A server that wants TLS ends a connection in the clear without a word, as one does that
    /// is about to end.
    fn suspect_tls(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Away { why, spoken: false }
                if self.options.tls.is_none()
                    && ["connection error", "connection closed"]
                        .iter()
                        .any(|w| why.contains(w)) =>
            {
                Fault::away(format!("{why}: does it want `https://`?"))
            }
            other => other,
        }
    }

    async fn endpoint(&self) -> Result<Endpoint, Fault> {
        let malformed = |error: tonic::transport::Error| fault::judge_transport(&error);
        let endpoint = Endpoint::from_shared(self.endpoint.clone()).map_err(malformed)?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        match &self.options.tls {
            Some(files) => endpoint.tls_config(load(files).await?).map_err(malformed),
            None => Ok(endpoint),
        }
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Member").field(&self.endpoint).field(&*self.state()).finish()
    }
}

async fn load(files: &TlsFiles) -> Result<ClientTlsConfig, Fault> {
    let ca = Certificate::from_pem(read(&files.ca).await?);
    let config = ClientTlsConfig::new().ca_certificate(ca);
    let Some((certificate, key)) = &files.client else { return Ok(config) };
    Ok(config.identity(Identity::from_pem(read(certificate).await?, read(key).await?)))
}

/// Off the runtime of the lease: the disk may hang.
async fn read(path: &std::path::Path) -> Result<Vec<u8>, Fault> {
    tokio::fs::read(path).await.map_err(|error| Fault::Refused {
        why: format!("cannot read `{}`: {error}", path.display()),
        hint: "name a file in PEM form that howdah's user may read",
    })
}

/// A connection that has answered at least once.
pub(super) struct Link {
    /// The number of its member.
    pub(super) member: usize,
    kv: KvClient,
    lease: LeaseClient,
    watch: WatchClient,
    heard: Mutex<Instant>,
}

impl Link {
    /// How long ago it answered.
    pub(super) fn silent_for(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(super) async fn get(&self, key: &str, how: GetOptions) -> Result<GetResponse, Fault> {
        self.answered(self.kv.clone().get(key, Some(how)).await)
    }

    pub(super) async fn txn(&self, txn: Txn) -> Result<TxnResponse, Fault> {
        self.answered(self.kv.clone().txn(txn).await)
    }

    /// A new lease, and the seconds that etcd gave it.
    pub(super) async fn grant(&self, seconds: i64) -> Result<(u64, i64), Fault> {
        let answer = self.answered(self.lease.clone().grant(seconds, None).await)?;
        Ok((answer.id().cast_unsigned(), answer.ttl()))
    }

    /// Whether there was such a lease to end.
    pub(super) async fn revoke(&self, lease: u64) -> Result<bool, Fault> {
        match self.answered(self.lease.clone().revoke(lease.cast_signed()).await) {
            Ok(_) => Ok(true),
            Err(Fault::LeaseGone) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Whether the lease lives, for its whole length again.
    pub(super) async fn keep_alive(&self, lease: u64) -> Result<bool, Fault> {
        match self.lease.clone().keep_alive(lease.cast_signed()).await {
            // The client's own words for an answer without a life.
            Err(Error::LeaseKeepAliveError(why)) if why == "lease not found" => Ok(false),
            answer => self.answered(answer).map(|_| true),
        }
    }

    /// Follows what changes below `prefix` from now on.
    pub(super) async fn watch(&self, prefix: &str) -> Result<WatchStream, Fault> {
        let options = WatchOptions::new().with_prefix();
        self.answered(self.watch.clone().watch(prefix, Some(options)).await)
    }

    fn answered<T>(&self, answer: Result<T, Error>) -> Result<T, Fault> {
        let answer = answer.map_err(|error| fault::judge(&error));
        if answer.is_ok() {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        answer
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("member", &self.member).finish_non_exhaustive()
    }
}

/// How long a connection may take, login included.
const CONNECT_MAX: Duration = Duration::from_secs(4);
/// The largest answer that is taken in: a cluster's record is some 100 KiB.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
/// A silent connection is asked for a sign of life this often. etcd ends connections that ask
/// more often than every five seconds.
const PING_EVERY: Duration = Duration::from_secs(6);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
const ANOTHER_CLUSTER: &str = "name members of one etcd cluster only; if etcd was rebuilt on \
                               purpose, restart howdah on every node";
