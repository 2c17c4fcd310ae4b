//! The agent's shell as crates/agent has it: take in, decide by the real core, perform.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use howdah_base::record::{Member, Revocation};
use howdah_base::{DirectoryId, Position, Term, Tick};
use howdah_ha::{
    Command, Decision, Directory, Failures, Job, Memory, StoreView, SyncSetting, decide,
};
use howdah_store::{LeaseId, Snapshot, TxnOutcome};

use crate::body::Body;
use crate::disk::Conf;
use crate::effect::Effect;
use crate::event::{Answer, Ask, Facts, ForAgent};
use crate::grace::Grace;
use crate::jobs::{JobRun, Outcome};
use crate::lease::Lease;
use crate::probe::Probing;
use crate::world::World;

/// Decide at least this often, ms.
const BACKSTOP_MS: u64 = 1_000;
#[derive(Debug)]
pub(crate) struct Agent {
    pub frozen_until: u64,
    pub lease: Lease,
    /// The deadline last sent to the guard after a renewal that had compared the leader key.
    pub held_until: Option<Tick>,
    pub snapshot: Option<Arc<Snapshot>>,
    pub store_error: bool,
    /// The picture behind the last view, and that view of it.
    pub picture: Option<Arc<StoreView>>,
    pub kept: Option<(Arc<StoreView>, StoreView)>,
    pub conf: Conf,
    pub alive: bool,
    pub stopping: bool,
    pub directory: Directory,
    /// When it was read: an earlier reading that comes late says nothing.
    pub directory_at: u64,
    pub facts: Option<Facts>,
    /// Facts asked for earlier than this are of a server that was another one.
    pub facts_after: Tick,
    pub observed_at: Tick,
    pub silent_since: Option<Tick>,
    pub sync: Option<SyncSetting>,
    pub end: Option<Position>,
    pub promise: Revocation,
    /// Until then this node takes part in no takeover.
    pub held_back_until: Option<Tick>,
    pub grace: Grace,
    pub body: Body,
    /// Since when the leader has not answered this node.
    pub unheard: Option<Tick>,
    pub job: Option<JobRun>,
    pub jobs: u64,
    pub failures: Failures,
    pub memory: Memory,
    pub decision: Option<Decision>,
    pub planned: DirectoryId,
    /// The record as last written, on which lease, and at which revision it stands.
    pub written: Option<(Member, LeaseId, u64)>,
    pub writing: bool,
    pub calls: BTreeMap<u64, Purpose>,
    wakes: u64,
    pub probing: Probing,
}

/// What a question to the store was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    Picture,
    Grant {
        sent_at: Tick,
    },
    /// `held`: it compares the leader key.
    Renew {
        lease: LeaseId,
        held: bool,
        sent_at: Tick,
    },
    Publish,
    Job(u64),
}

impl World {
    pub(crate) fn start_agent(&mut self, node: usize) {
        let random = self.rng.draw() as u32;
        let machine = &mut self.nodes[node];
        machine.incarnation += 1;
        let key = format!("members/{}", machine.name);
        let adopted = self.store.snapshot().lease(&key);
        machine.agent = Some(Agent {
            frozen_until: 0,
            lease: Lease { id: adopted, ..Lease::default() },
            held_until: None,
            snapshot: None,
            store_error: false,
            picture: None,
            kept: None,
            conf: machine.disk.conf.clone(),
            alive: machine.server.is_some(),
            stopping: false,
            directory: machine.disk.directory(),
            directory_at: self.now,
            facts: None,
            facts_after: Tick(0),
            observed_at: Tick(0),
            silent_since: None,
            sync: None,
            end: None,
            promise: machine.disk.promise,
            held_back_until: machine.disk.held_back_until,
            grace: Grace::default(),
            body: Body::default(),
            unheard: None,
            job: None,
            jobs: 0,
            failures: Failures::default(),
            memory: Memory::default(),
            decision: None,
            planned: DirectoryId::new(&machine.name, random),
            written: None,
            writing: false,
            calls: BTreeMap::new(),
            wakes: 0,
            probing: Probing::Idle,
        });
        self.say(|w| format!("{}: the agent starts", w.nodes[node].name));
        self.after_agent(node, 5, ForAgent::Poll);
        self.after_agent(node, 10, ForAgent::Wake(0));
    }

    pub(crate) fn at_agent(&mut self, node: usize, incarnation: u64, what: ForAgent) {
        let machine = &mut self.nodes[node];
        if machine.incarnation != incarnation {
            return;
        }
        let Some(agent) = &mut machine.agent else { return };
        if self.now < agent.frozen_until {
            self.effects.note(Effect::AgentFrozen);
            let event = crate::event::Event::Agent { node, incarnation, what };
            let at = agent.frozen_until;
            self.queue.push(at, event);
            return;
        }
        if !self.notices(node, &what) {
            if matches!(what, ForAgent::Poll) {
                self.after_agent(node, BACKSTOP_MS, ForAgent::Poll);
            }
            return;
        }
        if self.take_in(node, what) {
            self.turn(node);
        }
    }

    /// Answers whether something is to be decided.
    fn take_in(&mut self, node: usize, what: ForAgent) -> bool {
        match what {
            ForAgent::Wake(number) => {
                return self.agent(node).wakes == number;
            }
            ForAgent::Poll => {
                self.look_at_store(node);
                self.after_agent(node, BACKSTOP_MS, ForAgent::Poll);
                return false;
            }
            ForAgent::Changed => {
                self.look_at_store(node);
                return false;
            }
            ForAgent::Answer { call, answer } => return self.answered(node, call, answer),
            ForAgent::Probe => return self.probe(node),
            ForAgent::Read { asked_at } => {
                let facts = self.facts(node).map(Box::new);
                let delay = self.step_ms(1, 10);
                self.after_agent(node, delay, ForAgent::Probed { facts, asked_at });
                return false;
            }
            ForAgent::Probed { facts, asked_at } => self.probed(node, facts, asked_at),
            ForAgent::ReadDisk => {
                let directory = Box::new(self.nodes[node].disk.directory());
                let (delay, read_at) = (self.step_ms(1, 10), self.now);
                self.after_agent(node, delay, ForAgent::Disk(directory, read_at));
                return false;
            }
            ForAgent::Disk(directory, read_at) => {
                let agent = self.agent(node);
                if read_at >= agent.directory_at {
                    (agent.directory, agent.directory_at) = (*directory, read_at);
                }
            }
            ForAgent::Exited => self.server_is_down(node),
            ForAgent::Alive => self.counted(node),
            ForAgent::LatePromise(promise) => {
                self.effects.note(Effect::LatePromise);
                self.write_promise(node, promise);
                return false;
            }
            ForAgent::JobStep(number) => return self.job_step(node, number),
            ForAgent::Pleaded { from, term, asked_at } => self.pleaded(node, from, term, asked_at),
            ForAgent::Promised { by, term, length, asked_at } => {
                self.promised(node, by, term, length, asked_at);
            }
        }
        true
    }

    pub(crate) fn agent(&mut self, node: usize) -> &mut Agent {
        self.nodes[node].agent.as_mut().expect("events reach living agents")
    }

    /// One decision and what follows from it.
    fn turn(&mut self, node: usize) {
        let now = self.local(node);
        self.keep_lease(node, now);
        let mut view = self.view(node);
        let shown = self.shown(node, &view);
        let agent = self.agent(node);
        let mut decision = decide(&mut agent.memory, &shown, now);
        self.mistake(&view, &mut decision);
        self.note_rule(node, decision.reason.rule);
        self.say_decision(node, &decision);
        let commands = decision.commands.clone();
        let (wake_at, look_again) = (decision.wake_at, decision.look_again);
        self.agent(node).decision = Some(decision);
        if look_again {
            self.probe_now(node);
        }
        for command in commands {
            self.perform(node, command, &view.store);
        }
        view.job = self.agent(node).job.as_ref().map(|run| run.job);
        self.publish(node, &view);
        self.plead(node, &view, now);
        self.keep(node, view);
        self.probe_if_idle(node);
        let pause = wake_at.map_or(BACKSTOP_MS, |at| now.until(at).as_millis() as u64);
        let agent = self.agent(node);
        agent.wakes += 1;
        let wake = ForAgent::Wake(agent.wakes);
        self.after_agent(node, pause.clamp(5, BACKSTOP_MS), wake);
    }

    fn say_decision(&mut self, node: usize, decision: &Decision) {
        if !self.trace {
            return;
        }
        let before = self.agent(node).decision.as_ref().map(|d| d.reason.clone());
        if before.as_ref() != Some(&decision.reason) {
            let (name, reason) = (&self.nodes[node].name, &decision.reason);
            self.say(|_| format!("{name}: {} {reason}", reason.rule.number()));
        }
    }

    fn perform(&mut self, node: usize, command: Command, view: &StoreView) {
        if command == Command::Renew {
            let agent = self.agent(node);
            if let Some((id, leader)) = agent.lease.id.zip(view.leader.as_ref())
                && !agent.lease.asked
            {
                let held = howdah_ledger::held(leader);
                self.renew(node, id, Some(held));
            }
            return;
        }
        let Some(job) = command.job() else { return };
        let now = self.local(node);
        let agent = self.agent(node);
        match agent.job.take().map(|run| run.job) {
            // Whether it was applied nobody knows.
            Some(Job::Txn) => agent.failures.record(Job::Txn, now),
            // The file may be written: nothing is proved to be in force.
            Some(Job::SetSync) => agent.sync = None,
            _ => {}
        }
        if matches!(command, Command::StartPrimary { .. } | Command::Promote { .. }) {
            agent.sync = None;
        }
        match command {
            Command::StartPrimary { .. } => agent.conf.standby = false,
            Command::StartStandby { .. } => agent.conf.standby = true,
            Command::Follow { .. } => agent.end = None,
            _ => {}
        }
        agent.stopping = job == Job::Stop;
        agent.jobs += 1;
        let number = agent.jobs;
        let deadline = self.deadline(node);
        let began = self.now;
        let agent = self.agent(node);
        agent.job = Some(JobRun {
            number,
            job,
            command,
            conf: agent.conf.clone(),
            view: view.clone(),
            snapshot: agent.snapshot.clone().unwrap_or_default(),
            deadline,
            phase: 0,
            mark: 0,
            records: Vec::new(),
            began,
        });
        self.after_agent(node, 1, ForAgent::JobStep(number));
    }

    fn look_at_store(&mut self, node: usize) {
        if self.agent(node).calls.values().any(|purpose| *purpose == Purpose::Picture) {
            return;
        }
        let call = self.ask(node, Ask::Snapshot);
        self.agent(node).calls.insert(call, Purpose::Picture);
    }

    fn answered(&mut self, node: usize, call: u64, answer: Option<Answer>) -> bool {
        let Some(purpose) = self.agent(node).calls.remove(&call) else { return false };
        match (purpose, answer) {
            (Purpose::Job(number), answer) => return self.job_answered(node, number, answer),
            (Purpose::Publish, answer) => {
                let agent = self.agent(node);
                agent.writing = false;
                let written = agent.written.take();
                if let Some(Answer::Txn(TxnOutcome::Applied { revision })) = answer {
                    agent.written = written.map(|(member, lease, _)| (member, lease, revision));
                }
            }
            (Purpose::Picture, Some(Answer::Snapshot(snapshot))) => self.pictured(node, snapshot),
            (Purpose::Grant { sent_at }, Some(Answer::Granted(id))) => {
                let renewed_at = Some(self.counted_from(node, sent_at));
                self.agent(node).lease = Lease { id: Some(id), renewed_at, ..Lease::default() };
            }
            // An answer about a lease that is known to have ended says nothing.
            (Purpose::Renew { lease, .. }, _) if self.agent(node).lease.id != Some(lease) => {}
            (Purpose::Renew { held, sent_at, .. }, Some(Answer::Renewed(renewal))) => {
                self.renewed(node, renewal, held, sent_at);
            }
            (Purpose::Grant { .. } | Purpose::Renew { .. }, _) => {
                let agent = self.agent(node);
                agent.lease.asked = false;
                agent.store_error = true;
            }
            (Purpose::Picture, _) => self.agent(node).store_error = true,
        }
        true
    }

    pub(crate) fn pictured(&mut self, node: usize, snapshot: Arc<Snapshot>) {
        let agent = self.agent(node);
        agent.store_error = false;
        if agent.snapshot.as_ref().is_none_or(|s| s.revision <= snapshot.revision) {
            let hangs = |id| snapshot.entries.values().any(|entry| entry.lease == Some(id));
            let held = agent.snapshot.as_ref().and_then(|s| s.lease("leader"));
            if held.is_some() && held == agent.lease.id && !held.is_some_and(hangs) {
                agent.lease = Lease::default();
            }
            agent.snapshot = Some(snapshot);
        }
    }

    /// The guard says whether a process is left as this is read: what it said earlier may be over.
    fn counted(&mut self, node: usize) {
        let alive = self.nodes[node].server.is_some();
        let agent = self.agent(node);
        if alive && !agent.alive {
            agent.end = None;
            agent.alive = true;
        } else if agent.alive && !alive && agent.job.is_none() {
            self.server_is_down(node);
        }
    }

    fn server_is_down(&mut self, node: usize) {
        let agent = self.agent(node);
        agent.alive = false;
        agent.held_until = None;
        agent.facts = None;
        agent.sync = None;
        agent.end = None;
        agent.silent_since = None;
        self.after_agent(node, 3, ForAgent::ReadDisk);
    }

    pub(crate) fn done(&mut self, node: usize, job: Job, outcome: Result<Outcome, String>) {
        let now = self.local(node);
        let agent = self.agent(node);
        agent.job = None;
        if job == Job::Stop {
            agent.stopping = false;
        }
        if job == Job::Start {
            let started = outcome.as_ref().is_ok_and(|outcome| !outcome.late);
            agent.alive |= started;
            if started {
                // More WAL may come; the real agent hears so from its guard before the job is done.
                agent.end = None;
            }
        }
        if matches!(job, Job::Start | Job::Stop) {
            self.after_agent(node, 5, ForAgent::Alive);
        }
        if matches!(job, Job::Initdb | Job::Copy) && outcome.is_ok() {
            let random = self.rng.draw() as u32;
            let planned = DirectoryId::new(&self.nodes[node].name, random);
            self.agent(node).planned = planned;
        }
        match outcome {
            Ok(outcome) => {
                let failures = &mut self.agent(node).failures;
                match outcome.late {
                    true => failures.late(job, now),
                    false => failures.clear(job),
                }
                self.take_outcome(node, outcome);
            }
            Err(error) => {
                self.say(|w| format!("{}: {job:?} failed: {error}", w.nodes[node].name));
                let agent = self.agent(node);
                agent.failures.record(job, now);
                if job == Job::SetSync {
                    agent.sync = None;
                }
            }
        }
        if matches!(job, Job::Start | Job::Promote) {
            let agent = self.agent(node);
            agent.facts = None;
            agent.facts_after = now;
        }
        if job == Job::Follow {
            let agent = self.agent(node);
            (agent.facts_after, agent.observed_at) = (now, Tick(0));
            agent.end = None;
        }
        // What the job left on the disk is known before it counts as done.
        let (directory, read_at) = (self.nodes[node].disk.directory(), self.now);
        let agent = self.agent(node);
        (agent.directory, agent.directory_at) = (directory, read_at);
        if matches!(job, Job::Copy | Job::Rewind) {
            agent.end = None;
        }
        if job != Job::Txn {
            self.probe_now(node);
        }
    }

    fn take_outcome(&mut self, node: usize, outcome: Outcome) {
        if let Some(snapshot) = outcome.snapshot {
            self.pictured(node, snapshot);
        }
        let agent = self.agent(node);
        if let Some(conf) = outcome.conf {
            agent.conf = conf;
        }
        if outcome.lease_gone.is_some() && outcome.lease_gone == agent.lease.id {
            agent.lease = Lease::default();
        }
        agent.sync = outcome.sync.or(agent.sync.take());
        agent.end = outcome.end.or(agent.end);
        agent.promise = outcome.promise.unwrap_or(agent.promise);
    }

    /// Directories for which a slot of the leader's term is here.
    pub(crate) fn slots_of_term(agent: &Agent, term: Option<Term>) -> BTreeSet<DirectoryId> {
        let Some(term) = term else { return BTreeSet::new() };
        let slots = agent.facts.iter().flat_map(|facts| &facts.slots);
        let suffix = format!("_{}", term.0);
        slots
            .filter_map(|slot| slot.strip_prefix("howdah_")?.strip_suffix(&suffix)?.parse().ok())
            .collect()
    }
}
