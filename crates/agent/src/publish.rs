//! What this node tells others: its member record, the topology for the proxy, the status for
//! people. The agent is the only writer of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::commits::{Commits, OptedOut};
use howdah_base::record::{Answer, Member, ServerState, key};
use howdah_base::status::ClusterStatus;
use howdah_base::topology::{Local, Route, Topology};
use howdah_base::{Term, Tick};
use howdah_ha::{Attempts, Directory, Job, Rule, Server, View};
use howdah_ledger::member_txn;
use howdah_store::{LeaseId, TxnOutcome};
use tokio::sync::watch;

use crate::agent::Agent;
use crate::loss::Loss;
use crate::watchdog::Amiss;
use crate::{clock, status};

/// Signs of life of this node, for its health checks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Vitals {
    /// Until when this node leads with its gate open: the guard's deadline.
    pub leader_until: Option<Tick>,
    /// The agent's last full turn.
    pub beat: Tick,
    pub system_identifier: Option<u64>,
    /// Reloads of the own server that this agent has carried out: by order, or for a changed file.
    pub reloads: u64,
}

/// The channels on which others listen.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub topology: watch::Sender<Topology>,
    pub status: watch::Sender<Option<Arc<ClusterStatus>>>,
    pub vitals: watch::Sender<Vitals>,
    /// As last seen while this node was the primary.
    pub opted_out: watch::Sender<Vec<OptedOut>>,
    loss: Loss,
    /// What is wrong with the watchdog.
    pub watchdog: watch::Sender<Option<Amiss>>,
    /// The record as last written, on which lease, and when.
    written: Option<(Member, LeaseId)>,
    writing: Option<Tick>,
    /// The store's revision at which it was written last.
    applied: Option<u64>,
}

/// A write of the member record that has not ended by then is tried again, milliseconds.
const WRITE_AGAIN_MS: u64 = 2_000;
/// Who is to take over from a disk that has stalled must not be about to stall itself: on one machine
/// all nodes may have the same disk. Its own bound is this part of the other.
const HEIR_PART: u32 = 2;
/// A server that gives no sign of life is named after this long.
const MUTE_TOLD: Duration = Duration::from_secs(3);
/// Crashes within this are named, milliseconds.
const CRASHES_SHOWN_MS: u64 = 600_000;

impl Publisher {
    /// The watchdog is required and does not work.
    pub fn barred(&self) -> bool {
        self.unwatched().is_some()
    }

    /// The same in words.
    fn unwatched(&self) -> Option<String> {
        let amiss = self.watchdog.borrow();
        amiss.as_ref().filter(|amiss| amiss.bars).map(|amiss| amiss.said.clone())
    }

    pub fn new() -> Publisher {
        Publisher {
            topology: watch::Sender::new(Topology::default()),
            status: watch::Sender::new(None),
            vitals: watch::Sender::new(Vitals::default()),
            opted_out: watch::Sender::new(Vec::new()),
            loss: Loss::default(),
            watchdog: watch::Sender::new(None),
            written: None,
            writing: None,
            applied: None,
        }
    }
}

/// Publishes whatever has changed.
pub(crate) fn all(agent: &mut Agent, view: &View, now: Tick) {
    crate::timings::note(agent, view, now);
    agent.publisher.loss.look(view);
    let member = member(agent, view);
    let mut topology = topology(view, &member, retakes(agent));
    let closing = &agent.shared.closing;
    topology.local.closing = closing.is_closed();
    agent.publisher.topology.send_if_modified(|last| {
        if closing.lets_in() && view.store.leader_mine {
            topology.local.writable = last.local.writable;
        }
        let changed = *last != topology;
        *last = topology;
        changed
    });
    let leads = topology_leads(&agent.publisher);
    let until = match retakes(agent) {
        true => agent.held_until,
        false => agent.lease.deadline(&agent.shared).max(agent.held_until),
    };
    agent.publisher.vitals.send_replace(Vitals {
        leader_until: until.filter(|_| leads),
        beat: now,
        system_identifier: view.directory().map(|directory| directory.system_identifier),
        reloads: agent.applied.reloads,
    });
    let status = status::build(agent, view, &member);
    agent.publisher.status.send_if_modified(|last| {
        let changed = last.as_deref() != Some(&status);
        *last = Some(Arc::new(status));
        changed
    });
    write(agent, member, now);
}

/// The store lost the key of this leader, whose right to write goes on: nobody is cut off.
pub(crate) fn retakes(agent: &Agent) -> bool {
    agent.decision.as_ref().is_some_and(|decision| decision.reason.rule == Rule::Retake)
}

fn topology_leads(publisher: &Publisher) -> bool {
    publisher.topology.borrow().local.writable.is_some()
}

/// Writes the member record when it differs from the one in the store, one write at a time.
fn write(agent: &mut Agent, member: Member, now: Tick) {
    let Some(lease) = agent.lease.id().filter(|_| agent.superseded.is_none()) else { return };
    let key = format!("{}{}", key::MEMBERS, member.node);
    let there = is_there(agent, &key, lease);
    let same = agent.publisher.written.as_ref().is_some_and(|(last, on)| {
        *on == lease && Member { at_unix_ms: last.at_unix_ms, ..member.clone() } == *last
    });
    let busy = agent.publisher.writing.is_some_and(|at| now.0 < at.0 + WRITE_AGAIN_MS);
    if busy || (same && there) {
        let done = same && there;
        agent.publisher.writing = agent.publisher.writing.filter(|_| !done);
        return;
    }
    agent.publisher.writing = Some(now);
    agent.publisher.written = Some((member.clone(), lease));
    let (shared, events) = (Arc::clone(&agent.shared), agent.events.clone());
    tokio::spawn(async move {
        let txn = member_txn(&member, lease);
        let revision = match shared.config.store.txn(txn).await {
            Ok(TxnOutcome::Applied { revision }) => Some(revision),
            _ => None,
        };
        let _ = events.send(crate::event::Event::Published(revision)).await;
    });
}

/// The record in the store is the one written last: an earlier write that came late would have
/// put an older one in its place. A picture from before the write says nothing.
fn is_there(agent: &Agent, key: &str, lease: LeaseId) -> bool {
    let Some((snapshot, applied)) = agent.snapshot.as_ref().zip(agent.publisher.applied) else {
        return false;
    };
    let entry = snapshot.entries.get(key);
    snapshot.revision < applied
        || entry.is_some_and(|entry| entry.lease == Some(lease) && entry.revision == applied)
}

impl Publisher {
    /// A write of the member record has ended: at this revision, or with an unknown end.
    pub fn ended(&mut self, revision: Option<u64>) {
        self.writing = None;
        self.applied = revision;
        let written = revision.is_some();
        self.written = self.written.take().filter(|_| written);
    }
}

fn member(agent: &Agent, view: &View) -> Member {
    let config = &agent.shared.config;
    let own = config.own();
    let spec = agent.shared.spec();
    let decision = agent.decision.as_ref();
    let running = view.running();
    let facts = agent.facts.as_ref();
    let recreate = agent.recreates();
    let tags = spec.nodes.get(&config.node).map_or_else(|| own.tags.clone(), |n| n.tags.clone());
    Member {
        node: config.node.clone(),
        host: own.host.clone(),
        postgres_port: own.postgres_port,
        peer_port: own.peer_port,
        http_port: own.http_port,
        directory: (!config.is_witness()).then(|| agent.announced(recreate)),
        server: server_state(view, recreate),
        position: running.map(|r| r.position).or(view.local.end),
        history: running
            .map(|r| r.history.clone())
            .or_else(|| view.directory().map(|directory| directory.history.clone())),
        replayed: running.filter(|r| !r.primary).map(|r| r.replayed),
        streaming_from: running
            .filter(|r| r.streaming)
            .and_then(|r| r.upstream.as_ref().map(|(node, _)| node.clone())),
        replay_lag_ms: facts.and_then(|f| f.replay_lag_ms),
        report: decision.and_then(|d| d.report.clone()),
        ended: decision.and_then(|d| d.ended.clone()),
        revokes: decision.and_then(|d| d.revokes),
        no_failover: tags.no_failover || agent.publisher.barred(),
        failover_priority: tags.failover_priority,
        rule: decision.map_or(0, |d| d.reason.rule.number()),
        reason: reason(agent, view),
        pending_restart: facts.map(|f| f.pending_restart.clone()).unwrap_or_default(),
        problems: problems(agent),
        leaving: decision.is_some_and(|d| d.leaving),
        slots: view.local.slots.clone(),
        no_sync: tags.no_sync,
        no_load_balance: tags.no_load_balance,
        user_slots: facts.map(|f| f.user_slots.clone()).unwrap_or_default(),
        at_unix_ms: clock::unix_ms(),
        version: facts.map(|f| f.version.clone()),
        tags: tags.free.clone(),
        witness: config.is_witness(),
        clone_from: tags.clone_from,
        replicate_from: tags.replicate_from.clone(),
        zone: tags.zone.clone(),
        started_unix_ms: facts.and_then(|f| f.started_unix_ms),
        sizes: facts.map(|f| f.sizes.clone()).unwrap_or_default(),
        answer: answer(agent),
        logical_slots: facts.map(|f| f.logical_slots.clone()).unwrap_or_default(),
        file_print: Some(config.file_print.clone()),
        archiver: facts.and_then(|f| f.archiver),
        long_transactions: facts.map_or(0, |f| f.long_transactions),
        agent: Some(config.agent.clone()),
        disk: view.local.disk.bars(view.settings.disk_stalled_after / HEIR_PART),
        watchdog: agent.publisher.unwatched(),
        commits: commits(agent, view),
        archived: *config.archived.borrow(),
    }
}

/// The last decision; while the server is being ended by force, why that is.
fn reason(agent: &Agent, view: &View) -> String {
    let ending = view.local.server == Server::Stopping;
    let why = agent.memory.ended_for.clone().filter(|_| ending);
    let decided = || agent.decision.as_ref().map(|decision| decision.reason.to_string());
    let making = agent.shared.making.borrow().clone();
    let making = if making.is_empty() { making } else { format!("; {making}") };
    why.or_else(decided).unwrap_or_default() + &making
}

fn commits(agent: &Agent, view: &View) -> Commits {
    let publisher = &agent.publisher;
    let leads = view.store.leader_mine;
    Commits {
        rpo: publisher.loss.now(),
        opted_out: if leads { publisher.opted_out.borrow().clone() } else { Vec::new() },
        sessions: u32::try_from(agent.shared.config.opted_out.held()).unwrap_or(u32::MAX),
    }
}

/// Why the last order to this node was not carried out.
fn answer(agent: &Agent) -> Option<Answer> {
    let key = format!("{}{}", key::ANSWERS, agent.shared.config.node);
    agent.snapshot.as_ref()?.get(&key).ok().flatten().map(|(answer, _)| answer)
}

fn server_state(view: &View, recreate: bool) -> ServerState {
    match (&view.local.directory, &view.local.server) {
        (Directory::Refused(_), _) => ServerState::Refused,
        _ if view.settings.witness => ServerState::Stopped,
        _ if recreate => ServerState::Creating,
        (Directory::Missing | Directory::Unusable(_), _) => ServerState::Creating,
        (_, Server::Down) => ServerState::Stopped,
        (_, Server::Starting { .. }) => ServerState::Starting,
        (_, Server::Stopping) => ServerState::Stopping,
        (_, Server::Unknown { .. }) => ServerState::Unknown,
        (_, Server::Running(running)) if running.primary && view.local.gate_open => {
            ServerState::Primary
        }
        (_, Server::Running(running)) if running.primary => ServerState::PrimaryGated,
        (_, Server::Running(running)) if running.streaming => ServerState::Streaming,
        (_, Server::Running(_)) => ServerState::Standby,
    }
}

/// Sentences about this node for the operator.
fn problems(agent: &Agent) -> Vec<String> {
    let rule = agent.decision.as_ref().map(|decision| decision.reason.rule);
    let well = matches!(rule, Some(Rule::Lead | Rule::Standby));
    let failed = agent.last_error.as_ref().filter(|_| !well);
    let failed = failed.map(|(job, error)| format!("{job} failed: {error}"));
    let store = agent.store_error.as_ref().map(|e| format!("the store does not answer: {e}"));
    let notices = agent.shared.config.notices.borrow().clone();
    let rest = agent.applied.problem().into_iter().chain(agent.held_sizes()).chain(notices);
    let stalled_after = agent.shared.spec().ha.disk_stalled_after.0;
    let silent = agent.facts.as_ref().and_then(|facts| facts.silent.clone());
    let disk = agent.shared.disk.disk(clock::now()).bars(stalled_after);
    let watchdog = agent.publisher.watchdog.borrow().as_ref().map(|amiss| amiss.said.clone());
    let rest = rest
        .chain(watchdog)
        .chain(agent.skew.problems())
        .chain(silent)
        .chain(disk)
        .chain(mute(agent))
        .chain(mended(agent));
    failed.into_iter().chain(store).chain(rest).collect()
}

/// What clients feel before the server counts as hung. Without the time that has passed: the
/// record would change with each knock.
fn mute(agent: &Agent) -> Option<String> {
    let bound = agent.shared.spec().ha.hung_after;
    (agent.silent_for > MUTE_TOLD).then(|| {
        format!(
            "its server accepts no connection, or answers on none: new clients wait; after \
             {bound} of it the server is ended and counts as crashed (`ha.hung_after`, rule 601)"
        )
    })
}

/// What was tried again and again.
fn mended(agent: &Agent) -> Vec<String> {
    let Attempts { rewinds, copies, crashes, .. } = agent.shared.counts.facts();
    let tried = (rewinds > 1 || copies > 1).then(|| {
        format!(
            "rewinds of its directory begun: {rewinds}, copies: {copies}; it has not streamed since"
        )
    });
    let ago = |at: &u64| clock::unix_ms().saturating_sub(*at);
    let lately = crashes.iter().map(ago).filter(|ms| *ms < CRASHES_SHOWN_MS).count();
    let crashed = (lately > 1).then(|| {
        format!("its server crashed {lately} times within {} minutes", CRASHES_SHOWN_MS / 60_000)
    });
    tried.into_iter().chain(crashed).collect()
}

fn topology(view: &View, own: &Member, retakes: bool) -> Topology {
    let members: BTreeMap<_, _> = view
        .store
        .members
        .iter()
        .filter(|(node, _)| **node != view.me)
        .chain([(&view.me, own)])
        .collect();
    let leader = view.leader();
    let primary = leader.filter(|leader| {
        members.get(&leader.node).is_some_and(|m| m.server == ServerState::Primary)
    });
    let end = leader.and_then(|l| members.get(&l.node)?.position).map(|p| p.lsn);
    let nodes = members.iter().map(|(node, member)| {
        let reads = member.server == ServerState::Streaming && !member.no_load_balance;
        let lag = member.replayed.zip(end).map(|(replayed, end)| end.bytes_past(replayed));
        let route = Route {
            host: member.host.clone(),
            peer_port: member.peer_port,
            postgres_port: member.postgres_port,
            standby_lag: lag.filter(|_| reads),
        };
        ((*node).clone(), route)
    });
    Topology {
        term: view.store.term,
        primary: primary.map(|leader| leader.node.clone()),
        handing_over: view.store.intent.as_ref().is_some_and(|intent| intent.value.sealed),
        nodes: nodes.collect(),
        local: Local {
            writable: leader
                .filter(|_| view.store.leader_mine)
                .map(|leader| leader.term)
                .or(retakes.then_some(view.store.term))
                .filter(|_| own.server == ServerState::Primary),
            readable: matches!(own.server, ServerState::Streaming | ServerState::Standby),
            closing: false,
            ended: ended(view),
            postgres_port: own.postgres_port,
        },
    }
}

/// The term that this node leads without a server, whose WAL others may read: not once it is
/// being started again.
fn ended(view: &View) -> Option<Term> {
    let leader = view.leader().filter(|_| view.store.leader_mine)?;
    let down = view.local.server == Server::Down && view.local.end.is_some();
    let idle = view.job.is_none_or(|job| job == Job::Txn);
    (down && idle && view.store.reachable).then_some(leader.term)
}
