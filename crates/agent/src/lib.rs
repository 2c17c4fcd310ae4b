//! Observe, decide, perform: the shell around the HA core.
//!
//! [`run`] is one node's agent. It answers on the channels of [`Channels`] and ends when it is
//! told to, or when it cannot do its duty; then a supervisor starts it anew, and it attaches to
//! the guard that has gone on without it.

mod agent;
mod apply;
mod attempts;
mod clock;
mod closing;
mod conf;
mod config;
mod cut_short;
mod disk;
mod ears;
mod event;
mod grace;
mod guardian;
mod heartbeat;
mod housekeeping;
mod jobs;
mod lease;
mod liveness;
mod loss;
mod observe;
mod operator;
mod opted_out;
mod outcome;
mod planned;
mod promise;
mod publish;
mod pulse;
mod repository;
mod requests;
mod right;
mod roll;
mod shared;
mod sizes;
mod skew;
mod slots;
mod status;
mod timings;
mod view;
mod wal_gone;
mod wal_source;
mod watchdog;
mod watcher;

use std::sync::Arc;

use howdah_base::record::{Member, key};
use howdah_base::status::ClusterStatus;
use howdah_base::topology::Topology;
use howdah_base::{DirectoryId, NodeName, Tick};
use howdah_ha::{Failures, Memory};
use howdah_store::Snapshot;
use tokio::sync::{Notify, mpsc, watch};

use crate::agent::{Agent, Ending};
use crate::event::Event;
use crate::guardian::Guardian;
use crate::lease::Lease;
use crate::liveness::Liveness;
use crate::publish::Publisher;
use crate::shared::Shared;

pub use apply::secret;
pub use clock::unix_ms;
pub use config::{AgentConfig, TlsFiles};
pub use event::Asked;
pub use grace::Pleaded;
pub use heartbeat::{Peers, Sign};
pub use howdah_base::ask::Ask;
pub use publish::Vitals;
pub use repository::{Backups, FromRepository, Made, Making, Told};
pub use shared::FileInForce;
pub use wal_source::{Fetching, WalFrom, WalPart, WalSource};

/// Events that wait for the loop.
const EVENTS_MAX: usize = 1024;

/// How an agent ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// As it was asked to.
    Stopped,
    /// Its guard was lost: the process is to start anew, with a new guard.
    StartAnew,
    /// The data directory must not be used, for this reason: another start changes nothing.
    Refused(String),
}

/// How others hear of the agent, and how it is asked.
#[derive(Debug)]
pub struct Channels {
    pub topology: watch::Receiver<Topology>,
    pub status: watch::Receiver<Option<Arc<ClusterStatus>>>,
    pub spec: watch::Receiver<Arc<howdah_spec::ClusterSpec>>,
    /// `None` until the store has been read.
    pub file: watch::Receiver<Option<FileInForce>>,
    pub vitals: watch::Receiver<Vitals>,
    asks: mpsc::Sender<Event>,
}

impl Channels {
    /// Hands an operator's request over; the answer comes through its `reply`.
    pub async fn ask(&self, asked: Asked) -> Result<(), String> {
        self.asks.send(Event::Asked(asked)).await.map_err(|_| "the agent has ended".to_owned())
    }

    /// Hands another leader's question over; the answer comes through its `reply`.
    pub async fn plead(&self, asked: Pleaded) -> Result<(), String> {
        self.asks.send(Event::Pleaded(asked)).await.map_err(|_| "the agent has ended".to_owned())
    }

    /// Tells the agent to end, PostgreSQL with it. `keep_lease`: the whole cluster is going
    /// down, and nobody is to take over.
    pub async fn shut_down(&self, keep_lease: bool) {
        let _ = self.asks.send(Event::Shutdown { keep_lease }).await;
    }
}

/// Prepares the agent: attaches to the guard, looks at what is there. The future that comes
/// back is the agent itself.
///
/// # Errors
/// What keeps this node from working at all, worded for an operator.
pub async fn start(
    config: AgentConfig,
) -> Result<(Channels, impl Future<Output = Result<End, String>>), String> {
    let guard = Guardian::attach(&config).await?;
    let alive = guard.has_processes().await?;
    let publisher = Publisher::new();
    let shared = Arc::new(Shared::new(config, guard, publisher.topology.clone()));
    let (events, inbox) = mpsc::channel(EVENTS_MAX);
    let channels = Channels {
        topology: publisher.topology.subscribe(),
        status: publisher.status.subscribe(),
        spec: shared.watch_spec(),
        file: shared.watch_file(),
        vitals: publisher.vitals.subscribe(),
        asks: events.clone(),
    };
    let alive = match cut_short::end(&shared, alive).await? {
        () if alive => shared.guard.has_processes().await?,
        () => false,
    };
    let agent = at_start(&shared, &events, alive, publisher).await?;
    disk::watch(&shared, events.clone())?;
    let running = async move {
        let helpers = helpers(&agent, &shared, &events);
        let ending = agent.run(inbox).await;
        for helper in helpers {
            helper.abort();
        }
        match ending {
            Ending::Asked { keep_lease } => end(&shared, keep_lease).await.map(|()| End::Stopped),
            Ending::GuardLost => without_guard(&shared).await,
            Ending::Refused(why) => refuse(&shared, why).await,
            Ending::Superseded(other) => {
                shared.guard.leave().await?;
                Err(superseded(&shared, &other))
            }
        }
    };
    Ok((channels, running))
}

/// What an agent knows before its first event; `alive`: a process of the instance runs already.
async fn at_start(
    shared: &Arc<Shared>,
    events: &mpsc::Sender<Event>,
    alive: bool,
    publisher: Publisher,
) -> Result<Agent, String> {
    Ok(Agent {
        lease: adopt(shared).await,
        held_until: None,
        conf: conf::ConfState::load(shared),
        disk: observe::disk(shared),
        planned: planned(shared)?,
        had_server: conf::ConfState::exists(shared),
        shared: Arc::clone(shared),
        events: events.clone(),
        snapshot: None,
        store_error: None,
        alive: Liveness::new(alive),
        stopping: false,
        facts: None,
        observed_at: Tick(0),
        facts_after: Tick(0),
        silent_since: None,
        well_since: None,
        silent_for: std::time::Duration::ZERO,
        sync: None,
        left: None,
        promises: promise::Promises::load(shared)?,
        heartbeat: heartbeat::Heartbeat::default(),
        grace: grace::Grace::default(),
        last_seen: None,
        job: None,
        failures: Failures::default(),
        last_error: None,
        memory: Memory::default(),
        stopwatch: timings::Stopwatch::default(),
        decision: None,
        probe_now: Arc::new(Notify::new()),
        publisher,
        applied: apply::Applied::default(),
        ending: false,
        leaving: false,
        keep_lease: false,
        guard_lost: false,
        refused: None,
        superseded: None,
        skew: skew::Skew::default(),
    })
}

/// The tasks that feed the loop.
fn helpers(
    agent: &Agent,
    shared: &Arc<Shared>,
    events: &mpsc::Sender<Event>,
) -> Vec<tokio::task::AbortHandle> {
    let store = Arc::clone(&shared.config.store);
    let watcher = tokio::spawn(watcher::watch(store, events.clone()));
    let (now, alive) = (Arc::clone(&agent.probe_now), agent.alive.subscribe());
    let prober = tokio::spawn(observe::probe(Arc::clone(shared), now, alive, events.clone()));
    let felt = agent.alive.subscribe();
    let pulse = tokio::spawn(pulse::watch(Arc::clone(shared), felt, events.clone()));
    let mut told = shared.guard.events();
    let told_events = events.clone();
    let listener = tokio::spawn(async move {
        while let Some(event) = told.recv().await {
            if told_events.send(Event::Guard(event)).await.is_err() {
                return;
            }
        }
    });
    let keeper = tokio::spawn(slots::keep(Arc::clone(shared), agent.publisher.status.subscribe()));
    let planner = planned::round::keep(Arc::clone(shared), agent.publisher.status.subscribe());
    let planner = tokio::spawn(planner);
    let topology = agent.publisher.topology.subscribe();
    let seen = agent.publisher.opted_out.clone();
    let watchdog =
        tokio::spawn(watchdog::keep(Arc::clone(shared), agent.publisher.watchdog.clone()));
    let opted_out = tokio::spawn(opted_out::keep(Arc::clone(shared), topology, seen));
    let sweeper = tokio::spawn(housekeeping::keep(Arc::clone(shared)));
    let counter = tokio::spawn(observe::keep_counting(Arc::clone(shared), events.clone()));
    [watcher, prober, pulse, listener, keeper, counter, planner, sweeper, opted_out, watchdog]
        .iter()
        .map(|task| task.abort_handle())
        .collect()
}

/// The lease that an earlier agent of this node left, if it still lives: one of this machine, and
/// not of another that was given the same name.
async fn adopt(shared: &Shared) -> Lease {
    let config = &shared.config;
    let member = format!("{}{}", key::MEMBERS, config.node);
    let snapshot = config.store.snapshot().await.ok().filter(|snapshot| {
        let holder = holder(snapshot, &config.node);
        holder.is_none_or(|holder| holder == config.agent || Some(holder) == config.before)
    });
    Lease::adopted(snapshot.and_then(|snapshot| snapshot.lease(&member)))
}

/// The agent that holds the node's record, as it calls itself.
pub(crate) fn holder(snapshot: &Snapshot, node: &NodeName) -> Option<String> {
    let member = snapshot.get::<Member>(&format!("{}{node}", key::MEMBERS)).ok().flatten()?;
    member.0.agent
}

fn superseded(shared: &Shared, other: &str) -> String {
    let machine = other.split('/').next().unwrap_or(other);
    format!(
        "another agent of {} runs on host `{machine}`\n\
         hint: one machine a node: stop one of them",
        shared.config.node
    )
}

fn planned(shared: &Shared) -> Result<DirectoryId, String> {
    let mut bytes = [0; 4];
    let mut source =
        std::fs::File::open("/dev/urandom").map_err(|e| format!("no random numbers: {e}"))?;
    std::io::Read::read_exact(&mut source, &mut bytes)
        .map_err(|e| format!("no random numbers: {e}"))?;
    Ok(DirectoryId::new(&shared.config.node, u32::from_ne_bytes(bytes)))
}

/// The data directory must not be used: the node ends, its guard with it.
async fn refuse(shared: &Shared, why: String) -> Result<End, String> {
    end(shared, false).await?;
    Ok(End::Refused(why))
}

/// The guard can no longer see to the instance: it is ended here, and the agent with it. The
/// lease is left to be taken up by the agent that starts anew.
async fn without_guard(shared: &Arc<Shared>) -> Result<End, String> {
    let ended = Arc::clone(shared);
    jobs::blocking(move || ended.guard.replace(&ended.config.own().data_dir)).await?;
    Ok(End::StartAnew)
}

/// A clean end, PostgreSQL down already: the lease is given up, so that the next leader is found
/// at once.
async fn end(shared: &Shared, keep_lease: bool) -> Result<(), String> {
    if !keep_lease && let Some(lease) = adopt(shared).await.id() {
        let store = &shared.config.store;
        if let Ok(snapshot) = store.snapshot().await
            && let Some(leave) = howdah_ledger::leave_txn(&snapshot, lease)
        {
            let _ = store.txn(leave).await;
        }
        let _ = store.revoke(lease).await;
    }
    shared.guard.leave().await
}
