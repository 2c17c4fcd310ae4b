//! One node: joins agent, proxy and API. Who listens to whom stands on this page.
//!
//! ```text
//!   agent (own thread) ── Topology ──► proxy (endpoints)
//!          │  ▲        ── status, vitals ──► api (HTTP), hooks
//!          │  └────────── an operator's requests ── api
//!          └ guard (own process) ── PostgreSQL
//! ```

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, anyhow};
use howdah_agent::{AgentConfig, Asked, Channels, End, Pleaded, TlsFiles};
use howdah_api::{
    Access, ApiConfig, Ask, Basic, Feeds, FileInForce, Progress, Receipt, Refusal, RefusalClass,
    Request, Server,
};
use howdah_base::{NodeName, Redacted};
use howdah_etcd::Report;
use howdah_proxy::{
    ConsoleConfig, Counters, Metrics, PeerDoor, Plea, ProxyConfig, VerifierAsk, Wish,
};
use howdah_spec::hba::HbaRule;
use howdah_spec::pools::Policy;
use howdah_spec::{ClusterSpec, NodeKind};
use howdah_store::Store;
use howdah_tls::Identity;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::admit::{self, Admitted};
use crate::archive::making::Making;
use crate::archive::{self, ArchiveConfig, Told, opens};
use crate::certificates::Watch;
use crate::failure::Failure;
use crate::hooks::{self, Hooks};
use crate::join::doorkeeper::{Keeper, Known};
use crate::journal::Journal;
use crate::moment::hold;
use crate::peers::Others;
use crate::prepare::relocate::relocate;
use crate::prepare::{Prepared, layout, secret};
use crate::supervise::leftover;
use crate::tail::PeerWal;
use crate::verifiers::Roles;
use crate::{console, facts, health, keeper, leave, serving, start, store, verifiers};

/// Requests of operators that wait for the agent.
const REQUESTS_MAX: usize = 16;

/// Runs the node until it is told to stop. The process is already the servers' user.
/// `supervised`: whoever started it also stops the node's own member of the store.
pub fn run(prepared: &Prepared, node: &NodeName, supervised: bool) -> anyhow::Result<()> {
    howdah_tls::install_provider();
    let journal = Journal::start()?;
    let ended = run_logged(prepared, node, supervised, &journal);
    journal.flush();
    ended
}

fn run_logged(
    prepared: &Prepared,
    node: &NodeName,
    supervised: bool,
    journal: &Journal,
) -> anyhow::Result<()> {
    let serving = serving::start()?;
    leave::listen(&serving, journal)?;
    let deciding =
        Builder::new_current_thread().enable_all().build().context("start the agent's thread")?;
    let bound = serving.block_on(bind(prepared, node))?;
    let whole = deciding.block_on(decide(prepared, node, bound, &serving, journal))?;
    if whole && !supervised && !hold::is_held(&prepared.spec.nodes[node]) {
        // The last thing: until now somebody may have needed the store.
        deciding.block_on(keeper::end(&prepared.spec.nodes[node], &prepared.server))?;
    }
    Ok(())
}

/// The ports, taken before anything else, so that one in use stops the node with a clear word.
struct Bound {
    proxy: ProxyConfig,
    endpoints: howdah_proxy::Bound,
    api: Server,
    identity: Arc<Identity>,
    keeper: Arc<Keeper>,
    pleas: mpsc::Receiver<Plea>,
    verifiers: verifiers::Asks,
    wishes: mpsc::Receiver<Wish>,
    /// What is known of the repository.
    archive: Told,
    rules: Rules,
}

/// What the endpoints are told anew when the cluster file changes.
struct Rules {
    hba: watch::Sender<Arc<Vec<HbaRule>>>,
    pools: watch::Sender<Arc<Policy>>,
    console: console::Rules,
}

/// Where they read it.
type RulesNow = (watch::Receiver<Arc<Vec<HbaRule>>>, watch::Receiver<Arc<Policy>>, ConsoleConfig);

async fn bind(prepared: &Prepared, node: &NodeName) -> anyhow::Result<Bound> {
    let spec = &prepared.spec;
    let own = &spec.nodes[node];
    let (hba, hba_now) = watch::channel(Arc::new(spec.hba.clone()));
    let (pools, pools_now) = watch::channel(Arc::new(spec.pools.clone()));
    let pair = howdah_tls::Pair::at(&prepared.layout.tls(), node.as_str());
    let identity = Identity::open(&pair)?;
    let (pleas_to, pleas) = mpsc::channel(howdah_proxy::PLEAS_MAX);
    let (verifiers_to, verifiers) = mpsc::channel(howdah_proxy::VERIFIER_ASKS_MAX);
    let (proxies_to, proxies_verifiers) = mpsc::channel(howdah_proxy::VERIFIER_ASKS_MAX);
    let (wishes_to, wishes) = mpsc::channel(howdah_proxy::WISHES_MAX);
    let (console, console_now) = console::rules(spec, own, wishes_to);
    let rules_now = (hba_now, pools_now, console_now);
    let door = PeerDoor {
        port: own.peer_port,
        tls: howdah_tls::for_peers(&prepared.layout.ca(), &identity)?,
        pleas: pleas_to,
        verifiers: proxies_to,
        wal_dir: own.data_dir.join("pg_wal"),
    };
    let proxy = proxy_config(prepared, node, rules_now, &identity, (door, verifiers_to))?;
    let endpoints = howdah_proxy::bind(&proxy).await?;
    let token = std::fs::read_to_string(prepared.layout.token()).context("read the API's token")?;
    let listen = spec.lasting_addresses(own).into_iter();
    let api = Server::bind(ApiConfig {
        listen: listen.map(|ip| SocketAddr::new(ip, own.http_port)).collect(),
        access: access(prepared, node, token.trim())?,
        lease_ttl: spec.ha.lease.0,
    })
    .await?;
    let keeper = Arc::new(Keeper::new(prepared.layout.clone(), Arc::new(spec.clone())));
    let tls = howdah_tls::for_http(&prepared.layout.ca(), &identity)?;
    let api = api.with_tls(tls).with_doorkeeper(keeper.clone());
    let archive = Told::new();
    let api = api.with_more_metrics(console::metrics(proxy.metrics.clone(), &archive));
    Ok(Bound {
        proxy,
        endpoints,
        api,
        identity,
        keeper,
        pleas,
        verifiers: [(verifiers, Roles::All), (proxies_verifiers, Roles::Ordinary)],
        wishes,
        archive,
        rules: Rules { hba, pools, console },
    })
}

/// Who may change something over HTTP.
fn access(prepared: &Prepared, node: &NodeName, token: &str) -> anyhow::Result<Access> {
    let http = &prepared.spec.http;
    let password = http.password.as_ref().map(secret::read).transpose()?.flatten();
    let basic = http.user.clone().zip(password).map(|(user, password)| Basic { user, password });
    Ok(Access {
        token: Redacted::new(token.to_owned()),
        basic,
        plain_changes: http.plain_changes,
        audit_dir: layout::log_dir(&prepared.spec.nodes[node]),
    })
}

fn proxy_config(
    prepared: &Prepared,
    node: &NodeName,
    (hba, policy, console): RulesNow,
    identity: &Arc<Identity>,
    (door, verifiers): (PeerDoor, mpsc::Sender<VerifierAsk>),
) -> anyhow::Result<ProxyConfig> {
    let spec = &prepared.spec;
    let own = &spec.nodes[node];
    let ca = prepared.layout.ca();
    let ends = &spec.endpoints;
    Ok(ProxyConfig {
        node: node.clone(),
        cluster: spec.cluster.clone(),
        listen: own.listen.clone(),
        virtual_ip: spec.vip.as_ref().map(|vip| vip.address),
        rw_port: own.rw_port,
        ro_port: own.ro_port,
        any_port: own.any_port,
        peers: Some(door),
        hba,
        server_tls: howdah_tls::for_clients(identity)?,
        peer_client_tls: howdah_tls::to_peers(&ca, identity)?,
        ro_max_lag: ends.ro_max_lag,
        ro_primary_fallback: ends.ro_primary_fallback,
        clients_max: ends.clients_max,
        policy,
        connect_wait: ends.connect_wait,
        keepalive: ends.keepalive,
        user_timeout: ends.user_timeout,
        counters: Arc::new(Counters::default()),
        console,
        metrics: Metrics::default(),
        verifiers,
        sockets: Some(own.state_dir.join("run")),
        known_as: None,
    })
}

/// Waits for the store, and asks whether this node may take part.
async fn enter(
    prepared: &Prepared,
    node: &NodeName,
    kept: &watch::Receiver<Option<Report>>,
    why: &watch::Sender<String>,
) -> anyhow::Result<(Arc<dyn Store>, Admitted)> {
    let (store, snapshot) = store::wait(prepared, node, kept, why).await?;
    let admitted = admit::admit(prepared, node, &store, &snapshot).await?;
    Ok((store, admitted))
}

/// The agent on this thread; proxy and API on theirs. Whether the whole cluster is going down.
async fn decide(
    prepared: &Prepared,
    node: &NodeName,
    bound: Bound,
    serving: &Runtime,
    journal: &Journal,
) -> anyhow::Result<bool> {
    // Before the store is there: a managed one may wait for a machine that is to join by HTTP.
    let (started, starting) = oneshot::channel();
    let (why, waiting) = watch::channel(String::new());
    let spec = Arc::new(prepared.spec.clone());
    let feeds =
        start::feeds(Arc::clone(&spec), node.clone(), starting, waiting, bound.archive.clone());
    let http = serving.spawn(bound.api.run_when(feeds));
    let (problems, notices) = watch::channel(Vec::new());
    Watch { node: node.clone(), identity: bound.identity.clone(), spec, problems }.start()?;
    let (force, in_force) = watch::channel(Arc::new(prepared.spec.clone()));
    let kept = keeper::start(serving, prepared, node, in_force);
    let (store, admitted) = tokio::select! {
        admitted = enter(prepared, node, &kept, &why) => admitted?,
        whole = stop_signal() => {
            leftover::stop_guard(node, &prepared.spec.nodes[node]).await?;
            return Ok(whole?);
        }
    };
    let notices = keeper::with_notices(serving, notices, kept);
    let (hook_problems, notices) = hooks::with_problems(serving, notices);
    let (archive_problems, notices) = hooks::with_problems(serving, notices);
    let counters = Arc::clone(&bound.proxy.counters);
    let shared = Arc::clone(&store);
    let mut config =
        agent_config(prepared, node, store, admitted, notices, &counters, bound.identity)?;
    config.archived = bound.archive.archived.subscribe();
    let (channels, agent) = howdah_agent::start(config).await.map_err(|e| anyhow!(e))?;
    let channels = Arc::new(channels);
    let (spec, status) = (channels.spec.clone(), channels.status.clone());
    bound.keeper.learn(Known { spec, status });
    // HTTP listens as long as this function does.
    let _ = started.send(Arc::clone(&channels));
    let proxy =
        serving.spawn(howdah_proxy::serve(bound.proxy, channels.topology.clone(), bound.endpoints));
    verifiers::start(serving, bound.verifiers, &prepared.spec.nodes[node]);
    serving.spawn(pass_pleas_on(bound.pleas, Arc::clone(&channels)));
    serving.spawn(console::grant(bound.wishes, Arc::clone(&channels), node.clone()));
    let identity = admit::short_identity(prepared)?;
    let (secrets, told) = (prepared.layout.client_secrets(), bound.archive);
    let (store, problems, own) = (shared, archive_problems, node.clone());
    let archive =
        ArchiveConfig { node: own, identity: identity.clone(), store, secrets, told, problems };
    let archiving = archive::start(archive, &channels)?;
    let hooks = Hooks::start(serving, node, identity, &channels, hook_problems);
    serving.spawn(pass_rules_on(channels.spec.clone(), bound.rules, force));
    let whole = Arc::new(AtomicBool::new(false));
    let stopper = archiving.stopper();
    tokio::spawn(stop_when_asked(Arc::clone(&channels), Arc::clone(&whole), stopper));
    let ended = agent.await;
    proxy.abort();
    http.abort();
    archiving.end().await;
    match ended {
        Ok(End::Stopped | End::Refused(_)) => hooks.end().await,
        Ok(End::StartAnew) | Err(_) => hooks.leave().await,
    }
    match ended.map_err(|e| anyhow!(e))? {
        End::Stopped => Ok(whole.load(Ordering::Relaxed)),
        End::StartAnew => start_anew(journal).map(|()| false),
        End::Refused(why) => Err(wrong_directory(&why).into()),
    }
}

/// The cluster file in force, to everybody who goes by it.
async fn pass_rules_on(
    mut spec: watch::Receiver<Arc<ClusterSpec>>,
    rules: Rules,
    force: watch::Sender<Arc<ClusterSpec>>,
) {
    while spec.changed().await.is_ok() {
        let spec = spec.borrow_and_update().clone();
        rules.hba.send_replace(Arc::new(spec.hba.clone()));
        rules.pools.send_replace(Arc::new(spec.pools.clone()));
        rules.console.follow(&spec);
        force.send_replace(spec);
    }
}

/// `whole`: whether the whole cluster is to go down.
async fn stop_when_asked(
    channels: Arc<Channels>,
    whole: Arc<AtomicBool>,
    archiving: watch::Sender<bool>,
) {
    if let Ok(keep_lease) = stop_signal().await {
        whole.store(keep_lease, Ordering::Relaxed);
        archiving.send_replace(true);
        tracing::info!("asked to stop: PostgreSQL is shut down with this node");
        channels.shut_down(keep_lease).await;
    }
}

/// Other leaders' questions, from the peer port to the agent.
async fn pass_pleas_on(mut pleas: mpsc::Receiver<Plea>, channels: Arc<Channels>) {
    while let Some(Plea { from, term, reply }) = pleas.recv().await {
        let plea = howdah_ha::grace::Plea { from, term };
        if channels.plead(Pleaded { plea, reply }).await.is_err() {
            return;
        }
    }
}

fn wrong_directory(why: &str) -> Failure {
    Failure::refused(format!("the data directory must not be used: {why}"))
        .hint("name another data_dir for this node, or put the right one in its place")
}

/// This process once more, from its beginning; every descriptor closes on the way.
fn start_anew(journal: &Journal) -> anyhow::Result<()> {
    journal.flush();
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "howdah".into());
    let failed = Command::new("/proc/self/exe").arg0(name).args(arguments).exec();
    Err(failed).context("start this node anew")
}

fn agent_config(
    prepared: &Prepared,
    node: &NodeName,
    store: Arc<dyn Store>,
    admitted: Admitted,
    notices: watch::Receiver<Vec<String>>,
    counters: &Counters,
    identity: Arc<Identity>,
) -> anyhow::Result<AgentConfig> {
    let spec = Arc::new(admitted.spec);
    let tls = prepared.layout.tls();
    let of = |name: &str| howdah_tls::Pair::at(&tls, name);
    let (server, replicator) = (of(node.as_str()), of("replicator"));
    let own = &spec.nodes[node];
    Ok(AgentConfig {
        node: node.clone(),
        store,
        install: match own.kind {
            NodeKind::Data => {
                Some(facts::install(&spec, &own.data_dir).map_err(Failure::made_final)?)
            }
            NodeKind::Witness => None,
        },
        machine: facts::machine(&spec),
        tls: TlsFiles {
            ca: tls.join("ca.crt"),
            server_cert: server.certificate,
            server_key: server.key,
            replicator_cert: replicator.certificate,
            replicator_key: replicator.key,
        },
        secrets_dir: prepared.layout.client_secrets(),
        exe: "/proc/self/exe".into(),
        os_user: prepared.server.name.clone(),
        text: prepared.text.clone(),
        notices,
        archived: watch::channel(None).1,
        agent: admitted.agent.own,
        before: admitted.agent.before,
        file_print: admitted.file_print,
        arriving: counters.arriving.clone(),
        opted_out: counters.opted_out.clone(),
        peers: Arc::new(Others::of(prepared, node, &identity)?),
        wal: Arc::new(PeerWal {
            cluster: spec.cluster.clone(),
            tls: howdah_tls::to_peers(&prepared.layout.ca(), &identity)?,
        }),
        backups: Arc::new(Making { node: node.clone() }),
        parse: read_again,
        spec,
    })
}

/// The text of an applied file; its fixed parts are this node's own.
pub fn read_again(text: &str, started_with: &ClusterSpec) -> Result<ClusterSpec, String> {
    let path = started_with.base_dir.join("howdah.toml");
    let read = |text: &str| crate::file::parse(&path, text).map_err(|m| m.to_string());
    let spec = read(text)?;
    if spec.base_dir == started_with.base_dir {
        return Ok(spec);
    }
    // Applied on a machine that keeps its things elsewhere.
    read(&relocate(&howdah_spec::to_toml(&spec), &spec.base_dir, &started_with.base_dir))
}

/// What HTTP tells, once the agent has its first picture.
pub async fn feeds(channels: Arc<Channels>, archive: &Told, node: &NodeName) -> Option<Feeds> {
    let mut status = channels.status.clone();
    status.wait_for(Option::is_some).await.ok()?;
    let page = archive::seen::with_backups(status, archive.seen.subscribe()).await?;
    let health = health::follow(page.clone(), channels.vitals.clone());
    let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
    let channels_file = channels.file.clone();
    tokio::spawn(pass_on(inbox, channels, node.clone()));
    let file = follow_file(channels_file);
    Some(Feeds { status: page, health, file, requests })
}

/// The agent's word for the file in force, in HTTP's.
fn follow_file(
    mut told: watch::Receiver<Option<howdah_agent::FileInForce>>,
) -> watch::Receiver<Option<Arc<FileInForce>>> {
    let of = |file: &Option<howdah_agent::FileInForce>| {
        file.as_ref().map(|file| {
            let (revision, text) = (file.config.revision, file.config.text.clone());
            Arc::new(FileInForce { revision, text, spec: Arc::clone(&file.spec) })
        })
    };
    let (sender, receiver) = watch::channel(of(&told.borrow_and_update()));
    tokio::spawn(async move {
        while told.changed().await.is_ok() {
            let file = of(&told.borrow_and_update());
            sender.send_replace(file);
        }
    });
    receiver
}

/// Operators' requests, beside each other: one that is under way can be given up by another.
async fn pass_on(mut inbox: mpsc::Receiver<Request>, channels: Arc<Channels>, node: NodeName) {
    let places = Arc::new(Semaphore::new(REQUESTS_MAX));
    while let Some(request) = inbox.recv().await {
        if request.kind == Ask::Stop {
            let receipt = Receipt::of(&request.kind, Progress::Begun, "the node is stopping");
            let _ = request.reply.send(Ok(receipt));
            channels.shut_down(false).await;
            continue;
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (channels, node) = (Arc::clone(&channels), node.clone());
        tokio::spawn(async move {
            let now = channels.file.borrow().as_ref().map(|file| Arc::clone(&file.spec));
            if let Some(refusal) = opens::refusal(&request.kind, now.as_deref(), &node).await {
                let _ = request.reply.send(Err(refusal));
                return;
            }
            let (reply, answer) = oneshot::channel();
            let asked = Asked { what: request.kind, by: request.by, reply };
            let answer = match channels.ask(asked).await {
                Ok(()) => answer.await.unwrap_or_else(|_| Err(gone("the agent has ended"))),
                Err(error) => Err(gone(&error)),
            };
            let _ = request.reply.send(answer);
            drop(place);
        });
    }
}

fn gone(why: &str) -> Refusal {
    Refusal::new(why).class(RefusalClass::Unavailable)
}

/// SIGTERM: another node is to take over at once. SIGINT: the whole cluster is going down.
async fn stop_signal() -> std::io::Result<bool> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(false),
            _ = interrupt.recv() => return Ok(true),
            _ = hangup.recv() => {}
        }
    }
}
