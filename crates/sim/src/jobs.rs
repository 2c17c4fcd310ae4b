//! Long operations in small steps, one at a time for each agent, as crates/agent/src/jobs does
//! them: between two steps everything else happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use howdah_base::record::{Change, Revocation, key};
use howdah_base::{DirectoryId, Position, Tick};
use howdah_ha::{Command, Job, StopMode, StoreView, SyncSetting};
use howdah_ledger::{Author, seal_txn, txn_for};
use howdah_store::{LeaseId, Snapshot, TxnOutcome};

use crate::Planted;
use crate::agent::Purpose;
use crate::disk::{Conf, Record, Setting};
use crate::event::{Answer, Ask, ForAgent, ForServer};
use crate::server::Stage;
use crate::world::World;

/// An operation under way, with copies of what it was given.
#[derive(Debug)]
pub(crate) struct JobRun {
    pub number: u64,
    pub job: Job,
    pub command: Command,
    pub conf: Conf,
    pub view: StoreView,
    pub snapshot: Arc<Snapshot>,
    pub deadline: Option<Tick>,
    /// Steps done.
    pub phase: u8,
    /// What an earlier step left: an LSN, or the number of a server.
    pub mark: u64,
    /// WAL that was read from another node's disk.
    pub records: Vec<Record>,
    pub began: u64,
}

/// What it leaves behind.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub conf: Option<Conf>,
    pub sync: Option<SyncSetting>,
    pub end: Option<Position>,
    pub promise: Option<Revocation>,
    pub snapshot: Option<Arc<Snapshot>>,
    pub lease_gone: Option<LeaseId>,
    /// It could not begin in time, and is to be tried again soon.
    pub late: bool,
}

/// What follows a step.
pub(crate) enum Next {
    /// The same step again, after ms.
    Again(u64),
    /// The next step, after ms.
    Then(u64),
    /// An answer of the store comes.
    Wait,
    Done(Result<Outcome, String>),
}

/// A name that no directory has: whoever waits for it waits for ever.
fn nobody() -> DirectoryId {
    "howdah_nobody".parse().expect("a name")
}

/// The voters get this long to confirm the gate's probe, ms.
const CONFIRM_MS: u64 = 5_000;
/// A planned shutdown may take this long, ms.
const SWITCHOVER_MS: u64 = 10_000;
const STOP_MS: u64 = 30_000;
const START_MS: u64 = 30_000;

impl World {
    /// Answers whether something is to be decided.
    pub(crate) fn job_step(&mut self, node: usize, number: u64) -> bool {
        let Some(mut run) = self.agent(node).job.take() else { return false };
        if run.number != number {
            self.agent(node).job = Some(run);
            return false;
        }
        let remote = matches!(run.job, Job::Txn | Job::Stop);
        let next = if !remote && self.disk_is_stalled(node) {
            Next::Again(50)
        } else {
            self.advance(node, &mut run)
        };
        self.follow_up(node, run, next)
    }

    pub(crate) fn job_answered(
        &mut self,
        node: usize,
        number: u64,
        answer: Option<Answer>,
    ) -> bool {
        let Some(mut run) = self.agent(node).job.take() else { return false };
        if run.number != number {
            self.agent(node).job = Some(run);
            return false;
        }
        let next = self.txn_answered(node, &mut run, answer);
        self.follow_up(node, run, next)
    }

    fn follow_up(&mut self, node: usize, mut run: JobRun, next: Next) -> bool {
        let (number, job) = (run.number, run.job);
        let delay = match next {
            Next::Done(outcome) => {
                self.done(node, job, outcome);
                return true;
            }
            Next::Wait => None,
            Next::Again(delay) => Some(delay),
            Next::Then(delay) => {
                run.phase += 1;
                Some(delay)
            }
        };
        self.agent(node).job = Some(run);
        if let Some(delay) = delay {
            self.after_agent(node, delay, ForAgent::JobStep(number));
        }
        false
    }

    fn advance(&mut self, node: usize, run: &mut JobRun) -> Next {
        match run.command.clone() {
            Command::ReadEnd => self.read_end(node, run),
            Command::Initdb => self.initdb(node, run),
            Command::StartPrimary { names, needed } => {
                let setting = Setting { names, needed };
                let conf = Conf { standby: false, upstream: None, setting, gate_open: false };
                self.start(node, run, conf)
            }
            Command::StartStandby { upstream } => {
                // Never empty on a standby: the flag that makes backends wait is then set before
                // a promotion, and no commit passes alone while the checkpointer reads the file.
                let setting = Setting { names: BTreeSet::from([nobody()]), needed: 1 };
                self.start(node, run, Conf { standby: true, upstream, setting, gate_open: true })
            }
            Command::Follow { upstream } => self.follow(node, run, upstream),
            Command::Fetch { from, term, end, within } => {
                self.fetch(node, run, &from, term, end, within.as_millis() as u64)
            }
            Command::Detach => self.detach(node, run),
            Command::Promise(promise) => self.keep_promise(node, run, promise),
            Command::Promote { timeline, names, needed, term, slots } => {
                let term = self.slot_term(term);
                let slots = slots.iter().map(|id| id.slot(term)).collect();
                self.promote(node, run, timeline, Setting { names, needed }, slots)
            }
            Command::Stop(mode) => self.stop(node, run, mode),
            Command::Switchover { .. } => self.switchover(node, run),
            Command::SetSync { names, needed } => {
                self.set_sync(node, run, Setting { names, needed })
            }
            Command::OpenGate { voters, needed } => self.open_gate(node, run, &voters, needed),
            Command::Slots { term, directories } => {
                let term = self.slot_term(term);
                let slots = directories.iter().map(|id| id.slot(term)).collect();
                self.make_slots(node, slots)
            }
            Command::Copy { from, term, .. } => self.copy(node, run, &from, term),
            Command::Rewind { from } => self.rewind(node, run, &from),
            command => self.transaction(node, run, &command),
        }
    }

    fn transaction(&mut self, node: usize, run: &mut JobRun, command: &Command) -> Next {
        let at_unix_ms = self.now;
        let name = self.nodes[node].name.clone();
        let agent = self.agent(node);
        let known = agent.lease.id.zip(agent.decision.as_ref().map(|d| d.reason.clone()));
        let Some((lease, reason)) = known else {
            return Next::Done(Err("this node has no lease yet".to_owned()));
        };
        let author = Author { node: name, lease, reason, at_unix_ms, major: 17 };
        let history = run.snapshot.get::<Vec<Change>>(key::HISTORY);
        let history = history.ok().flatten().map(|(history, _)| history).unwrap_or_default();
        let Some(txn) = txn_for(command, &run.view, &history, &author) else {
            return Next::Done(Err("the record that it would change is not there".to_owned()));
        };
        let txn = self.mistaken(command, txn);
        self.ask_for_job(node, run.number, Ask::Txn(txn))
    }

    fn ask_for_job(&mut self, node: usize, number: u64, ask: Ask) -> Next {
        let call = self.ask(node, ask);
        self.agent(node).calls.insert(call, Purpose::Job(number));
        Next::Wait
    }

    fn txn_answered(&mut self, node: usize, run: &mut JobRun, answer: Option<Answer>) -> Next {
        if run.job == Job::Switchover {
            return self.sealed(answer);
        }
        match answer {
            Some(Answer::Txn(TxnOutcome::Applied { .. })) => {
                if let Command::TakeOver(order) = &run.command {
                    let term = order.term;
                    self.say(|w| format!("{}: leads term {term}", w.nodes[node].name));
                }
                self.ask_for_job(node, run.number, Ask::Snapshot)
            }
            Some(Answer::Txn(TxnOutcome::Refused { snapshot })) => {
                let retakes = matches!(run.command, Command::Retake(_));
                let gone = retakes && snapshot.lease(key::LEADER).is_none();
                let lease_gone = self.agent(node).lease.id.filter(|_| gone);
                let snapshot = Some(Arc::new(snapshot));
                Next::Done(Ok(Outcome { snapshot, lease_gone, ..Outcome::default() }))
            }
            Some(Answer::Snapshot(snapshot)) => {
                if let Command::RecordInitialize { .. } = &run.command
                    && let Some(data) = &mut self.nodes[node].disk.data
                {
                    data.fresh = false;
                }
                Next::Done(Ok(Outcome { snapshot: Some(snapshot), ..Outcome::default() }))
            }
            _ => Next::Done(Err("the store did not answer in time".to_owned())),
        }
    }

    fn start(&mut self, node: usize, run: &mut JobRun, conf: Conf) -> Next {
        if run.phase == 0 {
            let deadline = run.deadline.filter(|_| !conf.standby);
            if !conf.standby && deadline.is_none() {
                return Next::Done(Ok(Outcome { late: true, ..Outcome::default() }));
            }
            let primary = !conf.standby;
            self.nodes[node].disk.conf = conf.clone();
            run.conf = conf;
            return match self.start_server(node, primary, deadline) {
                Ok(Some(epoch)) => {
                    run.mark = epoch;
                    Next::Then(40)
                }
                Ok(None) => Next::Done(Ok(Outcome {
                    conf: Some(run.conf.clone()),
                    late: true,
                    ..Outcome::default()
                })),
                Err(why) => Next::Done(Err(why)),
            };
        }
        match self.nodes[node].server(run.mark) {
            Some(server) if server.answers() => {
                Next::Done(Ok(Outcome { conf: Some(run.conf.clone()), ..Outcome::default() }))
            }
            Some(_) if self.now < run.began + START_MS => Next::Again(40),
            _ => Next::Done(Err("the server ended while it was starting".to_owned())),
        }
    }

    fn follow(
        &mut self,
        node: usize,
        run: &JobRun,
        upstream: (howdah_base::NodeName, howdah_base::Term),
    ) -> Next {
        let conf =
            Conf { standby: true, upstream: Some(upstream), gate_open: true, ..run.conf.clone() };
        self.configure(node, conf.clone());
        Next::Done(Ok(Outcome { conf: Some(conf), ..Outcome::default() }))
    }

    /// Done once the startup process has read it and the receiver is gone.
    fn detach(&mut self, node: usize, run: &mut JobRun) -> Next {
        if run.phase == 0 {
            run.conf = Conf { standby: true, upstream: None, gate_open: true, ..run.conf.clone() };
            self.configure(node, run.conf.clone());
            return Next::Then(20);
        }
        match &self.nodes[node].server {
            Some(server) if server.receives() => Next::Again(10),
            Some(_) => {
                Next::Done(Ok(Outcome { conf: Some(run.conf.clone()), ..Outcome::default() }))
            }
            None => Next::Done(Err("the server ended".to_owned())),
        }
    }

    /// The file is written, durably, and the server told to read it.
    pub(crate) fn configure(&mut self, node: usize, conf: Conf) {
        self.nodes[node].disk.conf = conf;
        self.reload(node);
    }

    fn promote(
        &mut self,
        node: usize,
        run: &mut JobRun,
        timeline: howdah_base::Timeline,
        setting: Setting,
        slots: BTreeSet<String>,
    ) -> Next {
        match run.phase {
            0 => {
                let Some(deadline) = run.deadline else {
                    return Next::Done(Err("the lease has not been renewed yet".to_owned()));
                };
                if let Err(why) = self.extend(node, deadline) {
                    return Next::Done(Err(why));
                }
                let late = self.planted.has(Planted::LateSetting);
                let setting = if late { Setting::default() } else { setting };
                run.conf = Conf { standby: true, upstream: None, setting, gate_open: false };
                run.mark = self.nodes[node].epoch;
                self.configure(node, run.conf.clone());
                Next::Then(self.rng.between(5, 30))
            }
            1 => {
                let delay = self.rng.between(30, 300);
                if let Some(data) = &mut self.nodes[node].disk.data {
                    data.slots.extend(slots);
                }
                if let Some(server) = &mut self.nodes[node].server {
                    server.promote_to = Some(timeline);
                }
                self.after_server(node, delay, ForServer::Promoted);
                Next::Then(20)
            }
            _ => match self.nodes[node].server(run.mark) {
                Some(server) if server.stage == Stage::Primary && server.answers() => {
                    let conf = Conf { standby: false, gate_open: false, ..run.conf.clone() };
                    self.configure(node, conf.clone());
                    Next::Done(Ok(Outcome { conf: Some(conf), ..Outcome::default() }))
                }
                Some(_) => Next::Again(20),
                None => Next::Done(Err("the server ended".to_owned())),
            },
        }
    }

    fn stop(&mut self, node: usize, run: &mut JobRun, mode: StopMode) -> Next {
        if run.phase == 0 {
            match mode {
                StopMode::Fast => self.stop_fast(node, STOP_MS),
                StopMode::Immediate | StopMode::Fence => self.kill(node),
            }
            return Next::Then(20);
        }
        self.until_gone(node)
    }

    fn until_gone(&self, node: usize) -> Next {
        match self.nodes[node].server {
            Some(_) => Next::Again(20),
            None => Next::Done(Ok(Outcome::default())),
        }
    }

    /// The request is sealed right before the shutdown; what nobody asked for needs no seal.
    fn switchover(&mut self, node: usize, run: &mut JobRun) -> Next {
        match run.phase {
            0 => Next::Then(self.rng.between(10, 500)),
            1 if run.view.intent.is_some() && !self.planted.has(Planted::NoSeal) => {
                match seal_txn(&run.view) {
                    Some(txn) => self.ask_for_job(node, run.number, Ask::Txn(txn)),
                    None => Next::Done(Err("this node does not lead".to_owned())),
                }
            }
            1 => Next::Then(1),
            2 => {
                if let Some(intent) = &run.view.intent {
                    self.checker.begins(&intent.value);
                }
                self.stop_fast(node, SWITCHOVER_MS);
                Next::Then(20)
            }
            _ => self.until_gone(node),
        }
    }

    fn sealed(&self, answer: Option<Answer>) -> Next {
        match answer {
            Some(Answer::Txn(TxnOutcome::Applied { .. })) => Next::Then(1),
            _ => Next::Done(Err("it was given up".to_owned())),
        }
    }

    fn set_sync(&mut self, node: usize, run: &mut JobRun, setting: Setting) -> Next {
        let Some(server) = self.nodes[node].server.as_ref().filter(|s| s.answers()) else {
            return Next::Done(Err("the server does not answer".to_owned()));
        };
        match run.phase {
            0 if run.conf.setting.names.is_empty()
                && !setting.names.is_empty()
                && !self.planted.has(Planted::UnprovenWaiting) =>
            {
                let setting = Setting { names: BTreeSet::from([nobody()]), needed: 1 };
                self.configure(node, Conf { setting, ..run.conf.clone() });
                Next::Then(5)
            }
            1 if !server.waits
                && !setting.names.is_empty()
                && !self.planted.has(Planted::UnprovenWaiting) =>
            {
                Next::Again(5)
            }
            0 => Next::Then(1),
            1 => {
                self.configure(node, Conf { setting, ..run.conf.clone() });
                Next::Then(5)
            }
            _ => {
                let counting = |sender: &&crate::server::Sender| {
                    sender.setting.names.contains(&sender.directory)
                };
                let proves = !self.planted.has(Planted::UnprovenSetting);
                let mut judges = server.senders.values().filter(counting);
                if proves && judges.any(|sender| !setting.names.contains(&sender.directory)) {
                    return Next::Again(10);
                }
                let old = |sender: &crate::server::Sender| sender.setting.needed < setting.needed;
                let older = server.senders.iter().filter(|(_, sender)| old(sender));
                let older: Vec<u64> = older.map(|(conn, _)| *conn).collect();
                if proves && setting.needed > 1 && !older.is_empty() {
                    for conn in older {
                        self.close_end(conn, node);
                    }
                    return Next::Again(10);
                }
                let end = self.insert_lsn(node);
                let conf = Conf { setting: setting.clone(), ..run.conf.clone() };
                let since = howdah_base::Lsn(end);
                let sync = SyncSetting { names: setting.names, needed: setting.needed, since };
                Next::Done(Ok(Outcome { conf: Some(conf), sync: Some(sync), ..Outcome::default() }))
            }
        }
    }

    fn insert_lsn(&self, node: usize) -> u64 {
        let machine = &self.nodes[node];
        let flushed = machine.disk.data.as_ref().map_or(0, |data| data.log.len());
        (flushed + machine.server.as_ref().map_or(0, |server| server.unflushed.len())) as u64
    }

    fn open_gate(
        &mut self,
        node: usize,
        run: &mut JobRun,
        voters: &BTreeSet<DirectoryId>,
        needed: u32,
    ) -> Next {
        if run.phase == 0 {
            run.mark = self.insert(node, None);
            return Next::Then(10);
        }
        let Some(server) = self.nodes[node].server.as_ref().filter(|s| s.answers()) else {
            return Next::Done(Err("the server does not answer".to_owned()));
        };
        let past = server.senders.values().filter(|sender| {
            voters.contains(&sender.directory) && sender.flushed.is_some_and(|at| at >= run.mark)
        });
        let flushed = self.nodes[node].disk.data.as_ref().map_or(0, |data| data.log.len() as u64);
        let confirmed = past.count() >= needed as usize && flushed >= run.mark;
        if confirmed || self.planted.has(Planted::NoProbe) {
            let conf = Conf { gate_open: true, ..run.conf.clone() };
            self.configure(node, conf.clone());
            self.let_in(node, run.mark);
            // Not waited for: the promoted server is in use meanwhile.
            let delay = self.step_ms(20, self.plan.checkpoint_ms);
            self.after_server(node, delay, ForServer::Checkpointed);
            return Next::Done(Ok(Outcome { conf: Some(conf), ..Outcome::default() }));
        }
        if self.now < run.began + CONFIRM_MS {
            return Next::Again(10);
        }
        Next::Done(Err("the voters did not confirm the probe".to_owned()))
    }

    fn make_slots(&mut self, node: usize, wanted: BTreeSet<String>) -> Next {
        let machine = &mut self.nodes[node];
        let Some((server, data)) = machine.server.as_mut().zip(machine.disk.data.as_mut()) else {
            return Next::Done(Err("the server does not answer".to_owned()));
        };
        let ended = server.senders.iter().filter(|(_, sender)| !wanted.contains(&sender.slot));
        let ended: Vec<u64> = ended.map(|(conn, _)| *conn).collect();
        data.slots = wanted;
        for conn in ended {
            self.close_end(conn, node);
        }
        Next::Done(Ok(Outcome::default()))
    }
}
