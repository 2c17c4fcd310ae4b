//! From what the modelled agent knows to the core's view, and to its record for others: as
//! crates/agent/src/view.rs and publish.rs do.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::record::{Member, ServerState};
use howdah_base::{DirectoryId, Lsn, NodeName, Tick};
use howdah_ha::{
    Attempts, Directory, Disk, Durability, Job, Local, Rule, Server, Settings, StoreView, View,
};
use howdah_ledger::member_txn;

use crate::agent::{Agent, Purpose};
use crate::body;
use crate::event::Ask;
use crate::world::World;

/// How long an operator looks at a strict cluster that does not heal, ms.
const STRICT_MS: u64 = 60_000;
/// Probes that fail for this long make a running server unknown, ms.
const SILENT_AFTER_MS: u128 = 4_000;

impl World {
    pub(crate) fn view(&mut self, node: usize) -> View {
        let me = self.nodes[node].name.clone();
        let settings = self.settings(&me);
        let now = self.local(node);
        let store = self.store_view(node);
        self.listen(node, &store, now);
        let known = store.initialize.as_ref().map(|i| i.system_identifier);
        let leads = store.leader.as_ref().filter(|_| store.leader_mine);
        let term = leads.map(|leader| self.slot_term(leader.value.term));
        let agent = self.agent(node);
        let silent =
            agent.silent_since.is_some_and(|at| now.since(at).as_millis() > SILENT_AFTER_MS);
        let recreate = recreates(agent);
        let mut local = Local {
            directory: against(&agent.directory, known),
            announced: Some(announced(agent, recreate)),
            server: server(agent, silent),
            observed_at: agent.observed_at,
            end: agent.end,
            promise: agent.promise,
            held_back_until: agent.held_back_until,
            unheard: agent.unheard,
            redo: agent.end.map(|_| Lsn(0)),
            consistent: None,
            sync: agent.sync.clone(),
            gate_open: agent.conf.gate_open,
            slots: World::slots_of_term(agent, term),
            started_unix_ms: agent.facts.as_ref().map(|facts| facts.started_unix_ms),
            pending_restart: false,
            version: None,
            silent_for: Duration::ZERO,
            disk: Disk::default(),
            attempts: Attempts::default(),
            wal_gone: false,
        };
        let job = agent.job.as_ref().map(|job| job.job);
        let failures = agent.failures.clone();
        self.feel(node, now, &mut local);
        let wall_ms = self.nodes[node].clock.wall(self.now);
        View { me, settings, store, local, job, failures, wall_ms }
    }

    /// Whether the leader's agent answers: asked whenever this one decides. Now and then the
    /// answer is lost although all is well.
    fn listen(&mut self, node: usize, store: &StoreView, now: Tick) {
        let known = store.leader.as_ref().or(store.beat.as_ref());
        let leader = known.map(|leader| self.index(&leader.value.node)).filter(|l| *l != node);
        let lost = self.rng.percent(self.plan.deaf_percent);
        let answers = leader.is_none_or(|leader| {
            let agent = self.nodes[leader].agent.as_ref();
            let awake = agent.is_some_and(|agent| self.now >= agent.frozen_until);
            awake && self.passes(node, leader) && !lost
        });
        let agent = self.agent(node);
        agent.unheard = (!answers).then(|| agent.unheard.unwrap_or(now));
    }

    fn store_view(&mut self, node: usize) -> StoreView {
        let agent = self.agent(node);
        let (lease, reachable) = (agent.lease.id, !agent.store_error);
        let held_until = agent.held_until;
        let (renewed_at, renewing) = (agent.lease.renewed_at, agent.lease.asked);
        let Some(snapshot) = agent.snapshot.clone() else { return StoreView::default() };
        let picture = self.picture(&snapshot, lease);
        let kept = self.agent(node).kept.take().filter(|(of, _)| Arc::ptr_eq(of, &picture));
        let view = kept.map_or_else(|| (*picture).clone(), |(_, view)| view);
        self.agent(node).picture = Some(picture);
        StoreView { reachable, renewed_at, held_until, renewing, ..view }
    }

    /// What the core was shown of the store is shown again as long as it stands: copying it is
    /// most of the work.
    pub(crate) fn keep(&mut self, node: usize, view: View) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.kept = agent.picture.take().map(|picture| (picture, view.store));
    }

    pub(crate) fn note_rule(&mut self, node: usize, rule: Rule) {
        let before = self.agent(node).decision.as_ref().map(|d| d.reason.rule);
        self.trail.note(before, rule);
    }

    fn settings(&self, me: &NodeName) -> Settings {
        let plan = &self.plan;
        Settings {
            durability: if plan.quorum { Durability::Quorum } else { Durability::Async },
            // A strict cluster whose every voter left its leader's history waits for ever, by
            // its own rule; then an operator turns `strict` off.
            strict: plan.strict && self.now < plan.quiet_from + STRICT_MS,
            lease: plan.lease,
            renew: plan.renew,
            margin: plan.margin,
            hung_after: body::HUNG_AFTER,
            disk_stalled_after: body::STALLED_AFTER,
            max_lag_on_failover: 1 << 20,
            no_failover: false,
            no_sync: false,
            failover_priority: 0,
            replicate_from: None,
            standbys_from_repository: false,
            first_node: None,
            witness: false,
            others: self.nodes.iter().map(|n| &n.name).filter(|n| *n != me).cloned().collect(),
        }
    }

    /// Writes the member record when it differs from the one written last.
    pub(crate) fn publish(&mut self, node: usize, view: &View) {
        let agent = self.agent(node);
        let Some(lease) = agent.lease.id else { return };
        let member = member(agent, view);
        let key = format!("members/{}", member.node);
        // A write that was given up may come late and put an older record in its place.
        let stands = agent.written.as_ref().zip(agent.snapshot.as_ref());
        let same = stands.is_some_and(|((last, on, revision), snapshot)| {
            let there = snapshot.entries.get(&key).map(|entry| entry.revision);
            *on == lease
                && *last == member
                && (snapshot.revision < *revision || there == Some(*revision))
        });
        if agent.writing || same {
            return;
        }
        agent.writing = true;
        self.answers(node, &member);
        let agent = self.agent(node);
        agent.written = Some((member.clone(), lease, 0));
        let call = self.ask(node, Ask::Txn(member_txn(&member, lease)));
        self.agent(node).calls.insert(call, Purpose::Publish);
    }
}

fn server(agent: &Agent, silent: bool) -> Server {
    let as_primary = !agent.conf.standby;
    if !agent.alive {
        return Server::Down;
    }
    if agent.stopping {
        return Server::Stopping;
    }
    match &agent.facts {
        Some(facts) if !silent => {
            let mut running = facts.running.clone();
            running.upstream = agent.conf.upstream.clone().filter(|_| !running.primary);
            Server::Running(running)
        }
        Some(_) => Server::Unknown { as_primary },
        None => Server::Starting { as_primary },
    }
}

fn against(directory: &Directory, known: Option<u64>) -> Directory {
    match directory {
        Directory::Ready(facts)
            if !facts.fresh && known.is_some_and(|id| id != facts.system_identifier) =>
        {
            Directory::Refused("it belongs to another cluster".to_owned())
        }
        other => other.clone(),
    }
}

pub(crate) fn announced(agent: &Agent, recreate: bool) -> DirectoryId {
    match &agent.directory {
        Directory::Ready(facts) if !recreate => facts.id.clone(),
        _ => agent.planned.clone(),
    }
}

/// Also while the copy runs, whose identity the leader must go on knowing.
fn recreates(agent: &Agent) -> bool {
    let copying = agent.job.as_ref().is_some_and(|run| run.job == Job::Copy);
    copying || agent.decision.as_ref().is_some_and(|d| d.recreate)
}

fn member(agent: &Agent, view: &View) -> Member {
    let decision = agent.decision.as_ref();
    let running = view.running();
    let recreate = recreates(agent);
    Member {
        node: view.me.clone(),
        host: String::new(),
        postgres_port: 0,
        peer_port: 0,
        http_port: 0,
        directory: Some(announced(agent, recreate)),
        server: server_state(view, recreate),
        position: running.map(|r| r.position).or(view.local.end),
        history: running
            .map(|r| r.history.clone())
            .or_else(|| view.directory().map(|directory| directory.history.clone())),
        replayed: running.filter(|r| !r.primary).map(|r| r.replayed),
        streaming_from: running
            .filter(|r| r.streaming)
            .and_then(|r| r.upstream.as_ref().map(|(node, _)| node.clone())),
        replay_lag_ms: None,
        report: decision.and_then(|d| d.report.clone()),
        ended: decision.and_then(|d| d.ended.clone()),
        revokes: decision.and_then(|d| d.revokes),
        no_failover: false,
        no_load_balance: false,
        failover_priority: 0,
        rule: decision.map_or(0, |d| d.reason.rule.number()),
        reason: String::new(),
        pending_restart: Vec::new(),
        witness: false,
        clone_from: false,
        replicate_from: None,
        zone: None,
        started_unix_ms: agent.facts.as_ref().map(|facts| facts.started_unix_ms),
        sizes: Default::default(),
        answer: None,
        file_print: None,
        logical_slots: Default::default(),
        agent: None,
        disk: view.local.disk.bars(view.settings.disk_stalled_after),
        watchdog: None,
        commits: Default::default(),
        archived: None,
        archiver: None,
        long_transactions: 0,
        problems: Vec::new(),
        leaving: decision.is_some_and(|d| d.leaving),
        slots: view.local.slots.clone(),
        no_sync: false,
        user_slots: Default::default(),
        at_unix_ms: 0,
        version: None,
        tags: Default::default(),
    }
}

fn server_state(view: &View, recreate: bool) -> ServerState {
    match (&view.local.directory, &view.local.server) {
        (Directory::Refused(_), _) => ServerState::Refused,
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
