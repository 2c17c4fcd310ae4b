//! The agent's shell as crates/agent has it: take in, decide by the real core, perform.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use howdah_base::record::Member;
use howdah_base::{DirectoryId, Position, Term, Tick};
use howdah_ha::{
    Command, Decision, Directory, Failures, Job, Memory, StoreView, SyncSetting, decide,
};
use howdah_store::{LeaseId, Renewal, Snapshot, TxnOutcome};

use crate::Planted;
use crate::disk::Conf;
use crate::event::{Answer, Ask, Facts, ForAgent};
use crate::jobs::{JobRun, Outcome};
use crate::world::World;

/// Decide at least this often, ms.
const BACKSTOP_MS: u64 = 1_000;
const PROBE_MS: u64 = 1_000;
/// A probe that failed is repeated after this, ms.
const PROBE_AGAIN_MS: u64 = 100;

#[derive(Debug)]
pub(crate) struct Agent {
    pub frozen_until: u64,
    pub lease: Lease,
    pub snapshot: Option<Arc<Snapshot>>,
    pub store_error: bool,
    pub conf: Conf,
    pub alive: bool,
    pub stopping: bool,
    pub directory: Directory,
    pub facts: Option<Facts>,
    /// Facts asked for earlier than this are of a server that was another one.
    pub facts_after: Tick,
    pub observed_at: Tick,
    pub silent_since: Option<Tick>,
    pub sync: Option<SyncSetting>,
    pub end: Option<Position>,
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
    probing: Probing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Probing {
    Idle,
    Pausing(u64),
    /// A question is under way; once it is answered, ask again at once.
    Asking {
        again: bool,
    },
}

/// What a question to the store was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    Picture,
    Lease { sent_at: Tick },
    Publish,
    Job(u64),
}

/// As crates/agent/src/lease.rs.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    pub id: Option<LeaseId>,
    pub renewed_at: Option<Tick>,
    pub asked: bool,
    pub last_try: Option<Tick>,
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
            snapshot: None,
            store_error: false,
            conf: machine.disk.conf.clone(),
            alive: machine.server.is_some(),
            stopping: false,
            directory: machine.disk.directory(),
            facts: None,
            facts_after: Tick(0),
            observed_at: Tick(0),
            silent_since: None,
            sync: None,
            end: None,
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
            let event = crate::event::Event::Agent { node, incarnation, what };
            let at = agent.frozen_until;
            self.queue.push(at, event);
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
                let delay = self.step_ms(1, 10);
                self.after_agent(node, delay, ForAgent::Disk(directory));
                return false;
            }
            ForAgent::Disk(directory) => self.agent(node).directory = *directory,
            ForAgent::Exited => self.server_is_down(node),
            ForAgent::Alive(alive) => self.counted(node, alive),
            ForAgent::JobStep(number) => return self.job_step(node, number),
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
        let view = self.view(node);
        let agent = self.agent(node);
        let decision = decide(&mut agent.memory, &view, now);
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
        self.publish(node, &view);
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
                let held = Some(("leader".to_owned(), leader.revision));
                self.renew(node, id, held);
            }
            return;
        }
        let Some(job) = command.job() else { return };
        if self.planted == Planted::NoFence && command == Command::Stop(howdah_ha::StopMode::Fence)
        {
            return;
        }
        let agent = self.agent(node);
        if matches!(command, Command::StartPrimary { .. } | Command::Promote { .. }) {
            agent.sync = None;
        }
        match command {
            Command::StartPrimary { .. } => agent.conf.standby = false,
            Command::StartStandby { .. } => agent.conf.standby = true,
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
            began,
        });
        self.after_agent(node, 1, ForAgent::JobStep(number));
    }

    /// Until when this node may write, by its last renewal.
    pub(crate) fn deadline(&mut self, node: usize) -> Option<Tick> {
        let span = self.plan.lease - self.plan.margin;
        self.agent(node).lease.renewed_at.map(|at| at + span)
    }

    fn keep_lease(&mut self, node: usize, now: Tick) {
        let renew = self.plan.renew;
        let leads = self.leads(node);
        let lease = &self.agent(node).lease;
        if lease.asked {
            return;
        }
        let since = |at: &Tick| now.since(*at);
        match lease.id {
            None if lease.last_try.as_ref().is_none_or(|at| since(at).as_millis() >= 500) => {
                self.ask_lease(node, Ask::Grant);
            }
            Some(id) if !leads => {
                let tries = [lease.renewed_at, lease.last_try];
                if tries.iter().flatten().all(|at| since(at) >= renew) {
                    self.renew(node, id, None);
                }
            }
            _ => {}
        }
    }

    fn leads(&mut self, node: usize) -> bool {
        let agent = self.agent(node);
        let holder = agent.snapshot.as_ref().and_then(|s| s.lease("leader"));
        holder.is_some() && holder == agent.lease.id
    }

    fn renew(&mut self, node: usize, id: LeaseId, held: Option<(String, u64)>) {
        self.ask_lease(node, Ask::Renew(id, held));
    }

    fn ask_lease(&mut self, node: usize, ask: Ask) {
        let sent_at = self.local(node);
        let call = self.ask(node, ask);
        let agent = self.agent(node);
        agent.lease.asked = true;
        agent.lease.last_try = Some(sent_at);
        agent.calls.insert(call, Purpose::Lease { sent_at });
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
            (Purpose::Lease { sent_at }, Some(Answer::Granted(id))) => {
                let renewed_at = Some(self.counted_from(node, sent_at));
                self.agent(node).lease = Lease { id: Some(id), renewed_at, ..Lease::default() };
            }
            (Purpose::Lease { sent_at }, Some(Answer::Renewed(renewal))) => {
                self.renewed(node, renewal, sent_at);
            }
            (Purpose::Lease { .. }, _) => {
                let agent = self.agent(node);
                agent.lease.asked = false;
                agent.store_error = true;
            }
            (Purpose::Picture, _) => self.agent(node).store_error = true,
        }
        true
    }

    /// The planted mistake: counting from the answer instead of from before the question.
    fn counted_from(&self, node: usize, sent_at: Tick) -> Tick {
        if self.planted == Planted::LateLease { self.local(node) } else { sent_at }
    }

    fn renewed(&mut self, node: usize, renewal: Renewal, sent_at: Tick) {
        let counted = self.counted_from(node, sent_at);
        let agent = self.agent(node);
        agent.lease.asked = false;
        if renewal == Renewal::Lost {
            agent.lease = Lease::default();
            return;
        }
        agent.lease.renewed_at = Some(counted);
        let alive = agent.alive;
        if alive && self.leads(node) {
            let deadline = self.deadline(node);
            if let Some(deadline) = deadline {
                let _ = self.extend(node, deadline);
            }
        }
    }

    pub(crate) fn pictured(&mut self, node: usize, snapshot: Arc<Snapshot>) {
        let agent = self.agent(node);
        agent.store_error = false;
        if agent.snapshot.as_ref().is_none_or(|s| s.revision <= snapshot.revision) {
            agent.snapshot = Some(snapshot);
        }
    }

    fn probe_if_idle(&mut self, node: usize) {
        let agent = self.agent(node);
        if agent.alive && agent.probing == Probing::Idle {
            self.probe_in(node, 1);
        }
    }

    fn probe_now(&mut self, node: usize) {
        match &mut self.agent(node).probing {
            Probing::Asking { again } => *again = true,
            Probing::Pausing(_) => self.probe_in(node, 1),
            Probing::Idle => {}
        }
    }

    fn probe_in(&mut self, node: usize, pause: u64) {
        let at = self.now + pause;
        self.agent(node).probing = Probing::Pausing(at);
        self.after_agent(node, pause, ForAgent::Probe);
    }

    fn probe(&mut self, node: usize) -> bool {
        let now = self.now;
        let asked_at = self.local(node);
        let delay = self.rng.between(1, 10);
        let agent = self.agent(node);
        if agent.probing != Probing::Pausing(now) {
            return false;
        }
        if !agent.alive {
            agent.probing = Probing::Idle;
            return false;
        }
        agent.probing = Probing::Asking { again: false };
        self.after_agent(node, delay, ForAgent::Read { asked_at });
        false
    }

    fn probed(&mut self, node: usize, facts: Option<Box<Facts>>, asked_at: Tick) {
        let agent = self.agent(node);
        let again = agent.probing == Probing::Asking { again: true };
        let pause = match (&facts, again) {
            (_, true) => 1,
            (Some(_), _) => PROBE_MS,
            (None, _) => PROBE_AGAIN_MS,
        };
        if agent.alive {
            match facts {
                Some(_) if asked_at < agent.facts_after => {}
                Some(facts) => {
                    agent.facts = Some(*facts);
                    agent.observed_at = asked_at;
                    agent.silent_since = None;
                }
                None => agent.silent_since = agent.silent_since.or(Some(asked_at)),
            }
        }
        self.probe_in(node, pause);
    }

    fn counted(&mut self, node: usize, alive: bool) {
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
        agent.facts = None;
        agent.sync = None;
        agent.end = None;
        agent.silent_since = None;
        self.after_agent(node, 3, ForAgent::ReadDisk);
    }

    pub(crate) fn done(&mut self, node: usize, job: Job, outcome: Result<Outcome, String>) {
        let now = self.local(node);
        let running = self.nodes[node].server.is_some();
        let agent = self.agent(node);
        agent.job = None;
        if job == Job::Stop {
            agent.stopping = false;
        }
        if job == Job::Start {
            agent.alive = outcome.is_ok();
            self.after_agent(node, 5, ForAgent::Alive(running));
        }
        if matches!(job, Job::Initdb | Job::Copy) && outcome.is_ok() {
            let random = self.rng.draw() as u32;
            let planned = DirectoryId::new(&self.nodes[node].name, random);
            self.agent(node).planned = planned;
        }
        match outcome {
            Ok(outcome) => {
                self.agent(node).failures.clear(job);
                self.take_outcome(node, outcome);
            }
            Err(error) => {
                self.say(|w| format!("{}: {job:?} failed: {error}", w.nodes[node].name));
                self.agent(node).failures.record(job, now);
            }
        }
        if matches!(job, Job::Start | Job::Promote) {
            let agent = self.agent(node);
            agent.facts = None;
            agent.facts_after = now;
        }
        // What the job left on the disk is known before it counts as done.
        let directory = self.nodes[node].disk.directory();
        let agent = self.agent(node);
        agent.directory = directory;
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
        agent.sync = outcome.sync.or(agent.sync.take());
        agent.end = outcome.end.or(agent.end);
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
