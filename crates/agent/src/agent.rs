//! The loop: take in what happened, decide, perform.
//!
//! ```text
//!   store ─┐                                            ┌─► store (transactions, renewals)
//!   guard ─┼─► Event ─► Agent ─► View ─► ha::decide ────┼─► jobs (server, directory)
//!   probes ┘                                            └─► topology, status, member record
//! ```
//!
//! It runs on a thread of its own and never touches the data disk or SQL itself: jobs and
//! probes do, and what they find comes back as events (DESIGN invariant 6).

use std::sync::Arc;
use std::time::Duration;

use howdah_base::Tick;
use howdah_ha::{Command, Decision, Directory, Failures, Job, Memory, Rule, StopMode, decide};
use howdah_store::Snapshot;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until};

use crate::conf::ConfState;
use crate::event::Event;
use crate::lease::Lease;
use crate::liveness::Liveness;
use crate::observe::{Disk, Facts};
use crate::shared::Shared;
use crate::{clock, jobs, observe, publish};

/// Decisions after which clients are cut off and somebody should look.
const ALARMS: [Rule; 5] =
    [Rule::FenceDeposed, Rule::FenceLeaseless, Rule::EndHung, Rule::EndUnfit, Rule::Lapse];

/// Decide at least this often.
const BACKSTOP: Duration = Duration::from_secs(1);

/// Everything that the loop owns.
pub(crate) struct Agent {
    pub shared: Arc<Shared>,
    pub events: mpsc::Sender<Event>,
    pub lease: Lease,
    /// The deadline last sent to the guard after a renewal that had compared the leader key;
    /// none before this agent's first, and none without a server.
    pub held_until: Option<Tick>,
    /// The last picture of the store, and whether its last answer was one.
    pub snapshot: Option<Snapshot>,
    pub store_error: Option<String>,
    pub conf: ConfState,
    pub alive: Liveness,
    pub stopping: bool,
    pub disk: Disk,
    pub facts: Option<Facts>,
    pub observed_at: Tick,
    /// Answers to questions asked earlier are about a server that is no more.
    pub facts_after: Tick,
    /// Since when probes have failed although the server is alive.
    pub silent_since: Option<Tick>,
    /// Since when this node has been a streaming standby.
    pub well_since: Option<Tick>,
    /// How long it has given its clients no sign of life.
    pub silent_for: Duration,
    pub sync: Option<howdah_ha::SyncSetting>,
    pub left: Option<howdah_postgres::wal::Left>,
    pub promises: crate::promise::Promises,
    pub heartbeat: crate::heartbeat::Heartbeat,
    pub grace: crate::grace::Grace,
    /// The last position that the server told: it holds when the server is gone.
    pub last_seen: Option<howdah_base::Position>,
    pub job: Option<(Job, AbortHandle)>,
    pub failures: Failures,
    pub last_error: Option<(Job, String)>,
    pub memory: Memory,
    pub stopwatch: crate::timings::Stopwatch,
    pub decision: Option<Decision>,
    /// Identity for the next directory that this node makes.
    pub planned: howdah_base::DirectoryId,
    /// A server of this node was configured before this agent started.
    pub had_server: bool,
    pub probe_now: Arc<Notify>,
    pub publisher: publish::Publisher,
    pub applied: crate::apply::Applied,
    pub ending: bool,
    /// The node is to end: its server is being shut down, under a lease that is still renewed.
    pub leaving: bool,
    /// The whole cluster is going down: nobody is to take over.
    pub keep_lease: bool,
    /// The guard is gone or frozen.
    pub guard_lost: bool,
    /// Why the data directory must not be used.
    pub refused: Option<String>,
    /// Another agent of this node that has taken its place.
    pub superseded: Option<String>,
    pub skew: crate::skew::Skew,
}

/// Why the loop has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// Somebody asked for it: PostgreSQL ends with the node.
    Asked {
        keep_lease: bool,
    },
    GuardLost,
    /// The data directory must not be used; nothing was touched.
    Refused(String),
    /// Another agent of this node holds its record.
    Superseded(String),
}

impl Agent {
    /// Runs until it is told to end.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Event>) -> Ending {
        let mut wake = Instant::now();
        while !self.ending {
            tokio::select! {
                event = inbox.recv() => match event {
                    Some(event) => self.take_in(event),
                    None => return Ending::Asked { keep_lease: false },
                },
                () = sleep_until(wake) => {}
            }
            while let Ok(event) = inbox.try_recv() {
                self.take_in(event);
            }
            // Nothing is decided before the store has answered once, or has failed to.
            if self.snapshot.is_some() || self.store_error.is_some() {
                wake = self.turn();
            } else {
                wake = Instant::now() + BACKSTOP;
            }
        }
        self.stop_all();
        if let Some(other) = self.superseded {
            return Ending::Superseded(other);
        }
        match (self.guard_lost, self.refused) {
            (true, _) => Ending::GuardLost,
            (false, Some(why)) => Ending::Refused(why),
            (false, None) => Ending::Asked { keep_lease: self.keep_lease },
        }
    }

    /// One decision and what follows from it; answers when the next one is due.
    fn turn(&mut self) -> Instant {
        let now = clock::now();
        let leads = self.leads();
        self.lease.keep(now, leads, &self.shared, &self.events);
        let mut view = self.view();
        let decision = decide(&mut self.memory, &view, now);
        self.log_change(&decision);
        let mut commands = decision.commands.clone();
        if let Some(last) = self.leave(&mut commands) {
            commands.push(last);
        }
        if decision.look_again {
            self.probe_now.notify_one();
        }
        let wake_at = decision.wake_at;
        if decision.reason.rule == Rule::RefusedDirectory && !self.alive.is_alive() {
            self.refused = Some(decision.reason.detail.clone());
            self.ending = true;
        }
        self.decision = Some(decision);
        self.note_mended(now);
        for command in commands {
            self.perform(command, &view.store);
        }
        view.job = self.job.as_ref().map(|(job, _)| *job);
        publish::all(self, &view, now);
        self.apply_file(&view);
        self.plead(&view, now);
        let pause = wake_at.map_or(BACKSTOP, |at| now.until(at)).min(BACKSTOP);
        let wake = Instant::now() + pause.max(Duration::from_millis(5));
        self.listen(&view, now).map_or(wake, |at| at.min(wake))
    }

    /// A node that ends does nothing any more but shut its server down; the lease is renewed
    /// meanwhile, so that the deadline does not cut the last checkpoint short.
    fn leave(&mut self, commands: &mut Vec<Command>) -> Option<Command> {
        if !self.leaving {
            return None;
        }
        commands.retain(|c| matches!(c, Command::Renew | Command::Stop(StopMode::Fence)));
        let alive = self.alive.is_alive();
        let stopping = matches!(self.job, Some((Job::Stop, _)));
        self.ending = !alive && !stopping;
        (alive && !stopping && commands.iter().all(|c| *c == Command::Renew))
            .then_some(Command::Stop(StopMode::Fast))
    }

    fn log_change(&self, decision: &Decision) {
        let before = self.decision.as_ref().map(|d| &d.reason);
        let busy = matches!(decision.reason.rule, Rule::Busy);
        if before != Some(&decision.reason) && !busy {
            let rule = decision.reason.rule.number();
            if ALARMS.contains(&decision.reason.rule) {
                tracing::warn!(rule, "{}", decision.reason);
            } else {
                tracing::info!(rule, "{}", decision.reason);
            }
        }
    }

    /// Starts what a decision asks for. A fence makes any other operation give way.
    fn perform(&mut self, command: Command, view: &howdah_ha::StoreView) {
        if command == Command::Renew {
            self.lease.renew_as_leader(&self.shared, &self.events, view);
            return;
        }
        let Some(job) = command.job() else { return };
        let command = self.with_particulars(command);
        if let Some((given_up, running)) = self.job.take() {
            running.abort();
            if given_up == Job::Txn {
                // Whether it was applied is unknown, as after any error.
                self.failures.record(Job::Txn, clock::now());
            }
            if given_up == Job::SetSync {
                // The file may be written: nothing is proved to be in force.
                self.sync = None;
            }
        }
        if matches!(command, Command::StartPrimary { .. } | Command::Promote { .. }) {
            self.sync = None;
        }
        if job == Job::Switchover {
            // What became of an earlier one is not what becomes of this.
            self.last_error.take_if(|(failed, _)| *failed == Job::Switchover);
        }
        self.conf.foresees(&command);
        if matches!(command, Command::Follow { .. }) {
            // More WAL may come.
            self.left = None;
        }
        self.stopping = job == Job::Stop;
        let planned = command == Command::Stop(StopMode::Fast);
        let closed = planned.then(|| self.shared.closing.begin());
        let order = self.order(view);
        let events = self.events.clone();
        // The lease never waits for the disk.
        let looks = jobs::touches_directory(job) && !matches!(command, Command::Retake(_));
        let task: JoinHandle<()> = tokio::spawn(async move {
            let shared = Arc::clone(&order.shared);
            let outcome = jobs::run(command, order, closed).await;
            // What the job left on the disk is known before it counts as done.
            if looks && let Ok(disk) = jobs::blocking(move || Ok(observe::disk(&shared))).await {
                let _ = events.send(Event::Disk(Box::new(disk))).await;
            }
            let outcome = outcome.map(Box::new);
            let _ = events.send(Event::Done { job, outcome }).await;
        });
        self.job = Some((job, task.abort_handle()));
    }

    pub fn order(&self, view: &howdah_ha::StoreView) -> jobs::Order {
        jobs::Order {
            shared: Arc::clone(&self.shared),
            conf: ConfState {
                sizes: self.sizes(view),
                leads: view.leader.as_ref().filter(|_| view.leader_mine).map(|l| l.value.term),
                ..self.conf.clone()
            },
            store: view.clone(),
            snapshot: self.snapshot.clone().unwrap_or_default(),
            lease: self.lease.id(),
            deadline: self.lease.deadline(&self.shared),
            reason: self.decision.as_ref().map(|d| d.reason.clone()),
            events: self.events.clone(),
            probe_now: Arc::clone(&self.probe_now),
            sync: self.sync.clone(),
            planned: self.planned.clone(),
            end_hint: self.last_seen,
            promises: self.promises,
            timeline_hint: self.facts.as_ref().map(|f| f.running.history.clone()),
        }
    }

    /// Where the search for the end of the WAL begins: what a standby has replayed is whole.
    fn note_position(&mut self, running: &howdah_ha::Running) {
        let lsn = if running.primary { running.position.lsn } else { running.replayed };
        self.last_seen = Some(howdah_base::Position { lsn, ..running.position });
    }

    fn take_in(&mut self, event: Event) {
        match event {
            Event::Store(Ok(snapshot)) => self.store_answered(snapshot),
            Event::Store(Err(error)) => self.store_failed(&error.to_string()),
            Event::Granted { lease, sent_at } => self.lease.granted(lease, sent_at),
            Event::NotGranted(error) => {
                self.lease.failed();
                self.store_failed(&error.to_string());
            }
            // An answer about a lease that is known to have ended says nothing.
            Event::Renewed { lease, .. } if self.lease.id() != Some(lease) => {}
            Event::Renewed { held, result, sent_at, .. } => self.renewed(result, held, sent_at),
            Event::Alive { alive, asked_at } => self.guard_counted(alive, asked_at),
            Event::Guard(event) => self.guard_said(event),
            Event::Probed { facts, asked_at } => self.probed(facts, asked_at),
            Event::DiskTried => {}
            Event::Pulse { asked_at, .. } if asked_at < self.facts_after => {}
            Event::Pulse { silent_for, .. } => self.silent_for = silent_for,
            Event::Disk(disk) if disk.number < self.disk.number => {}
            Event::Disk(disk) => self.disk = *disk,
            Event::Heard { leader, sign, asked_at } => {
                self.heartbeat.heard(&leader, asked_at, sign);
                // Whether WAL still comes is to be known as it is now.
                self.probe_now.notify_one();
            }
            Event::Promised { node, term, word, asked_at } => {
                self.promised(node, term, word, asked_at);
            }
            Event::Pleaded(asked) => self.pleaded(asked),
            Event::Published(revision) => self.publisher.ended(revision),
            Event::Done { job, outcome } => self.done(job, outcome),
            Event::Applied { revision, result } => self.applied.ended(revision, result),
            Event::Asked(asked) => crate::operator::ask(self, asked),
            Event::Shutdown { keep_lease } => {
                self.leaving = true;
                self.keep_lease = keep_lease;
            }
        }
    }

    pub(crate) fn store_answered(&mut self, snapshot: Snapshot) {
        if self.store_error.take().is_some() {
            tracing::info!("the store answers again");
        }
        let newer = self.snapshot.as_ref().is_none_or(|s| s.revision <= snapshot.revision);
        if newer {
            self.look_for_another(&snapshot);
            let me = &self.shared.config.node;
            self.skew.take_in(&snapshot, me, clock::now(), clock::unix_ms());
            self.note_lost_lease(&snapshot);
            self.snapshot = Some(snapshot);
        }
    }

    /// Another machine that was given this node's name: the one that came later goes on, because
    /// this one's lease was over when it came.
    fn look_for_another(&mut self, snapshot: &Snapshot) {
        let config = &self.shared.config;
        let other = crate::holder(snapshot, &config.node)
            .filter(|holder| *holder != config.agent && Some(holder) != config.before.as_ref());
        if let Some(other) = other.filter(|_| self.superseded.is_none()) {
            tracing::error!("another agent of this node has taken its place: `{other}`; ends");
            self.superseded = Some(other);
            self.leaving = true;
        }
    }

    pub fn store_failed(&mut self, error: &str) {
        if self.store_error.as_deref() != Some(error) {
            tracing::warn!("{error}");
        }
        self.store_error = Some(error.to_owned());
    }

    fn guard_said(&mut self, event: howdah_guard::Event) {
        match &event {
            howdah_guard::Event::Exited(exit) => {
                let how = if exit.fenced { ", ended at its deadline" } else { "" };
                self.note_crash(exit.fenced);
                let said =
                    format!("the server has ended{how}, no process is left: {}", exit.status);
                if matches!(self.job, Some((Job::Stop | Job::Switchover, _))) && !exit.fenced {
                    tracing::info!("{said}");
                } else {
                    tracing::warn!("{said}");
                }
            }
            howdah_guard::Event::Fenced { deadline, at } => {
                let late = at.since(*deadline).as_millis();
                tracing::warn!(
                    "the right to write was not renewed in time and is over: the server is being \
                     ended, {late} ms after its write deadline"
                );
            }
            howdah_guard::Event::Gone => {}
        }
        if matches!(event, howdah_guard::Event::Exited(_) | howdah_guard::Event::Gone) {
            self.server_is_down();
        }
        if matches!(event, howdah_guard::Event::Gone) {
            // Without its guard nothing may run: the supervisor starts this node anew.
            tracing::error!("the guard is gone or frozen: the instance is ended with it");
            self.guard_lost = true;
            self.ending = true;
        }
    }

    /// The guard's own count corrects what events may have told out of order.
    fn guard_counted(&mut self, alive: bool, asked_at: Tick) {
        match self.alive.counted(alive, asked_at, clock::now()) {
            true if alive => self.left = None,
            true => self.server_is_down(),
            false => {}
        }
    }

    fn server_is_down(&mut self) {
        self.alive.ended(clock::now());
        self.held_until = None;
        self.facts = None;
        self.sync = None;
        self.left = None;
        self.silent_since = None;
        self.silent_for = Duration::ZERO;
        observe::read_disk(&self.shared, &self.events);
    }

    fn probed(&mut self, facts: Result<Box<Facts>, String>, asked_at: Tick) {
        match facts {
            Ok(facts) if self.alive.is_alive() && asked_at >= self.facts_after => {
                // Also of an agent that was started in the middle of a promotion.
                if facts.running.primary && self.conf.standby {
                    self.conf.closes();
                }
                self.note_position(&facts.running);
                self.facts = Some(*facts);
                self.observed_at = asked_at;
                self.silent_since = None;
            }
            Ok(_) => {}
            Err(error) => {
                if self.facts.is_some() {
                    tracing::debug!("probe: {error}");
                }
                self.silent_since = self.silent_since.or(Some(asked_at));
            }
        }
    }

    /// This directory is being replaced: also while the copy runs, whose identity the leader must
    /// go on knowing.
    pub fn recreates(&self) -> bool {
        let copying = self.job.as_ref().is_some_and(|(job, _)| *job == Job::Copy);
        copying || self.decision.as_ref().is_some_and(|d| d.recreate)
    }

    /// The planned identity is used up once a directory carries it.
    pub fn announced(&self, recreate: bool) -> howdah_base::DirectoryId {
        match &self.disk.directory {
            Directory::Ready(facts) if !recreate => facts.id.clone(),
            _ => self.planned.clone(),
        }
    }

    fn stop_all(&mut self) {
        if let Some((_, job)) = self.job.take() {
            job.abort();
        }
    }
}
