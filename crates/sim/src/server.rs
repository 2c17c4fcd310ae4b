//! PostgreSQL, as far as the protocol depends on it: recovery, commits that wait, promotion.
//!
//! Each WAL sender and the checkpointer read the setting of voters in their own time; a
//! standby's first reply is counted before its history is compared: both as PostgreSQL does.

use std::collections::BTreeMap;

use howdah_base::{DirectoryId, Lsn, Position, Term, Tick, Timeline};
use howdah_ha::{Running, Sender as SenderFacts};

use crate::disk::{Conf, Record, Setting};
use crate::event::{Event, Facts, ForAgent, ForServer};
use crate::node::QUIT_BEFORE;
use crate::stream::ConnId;
use crate::world::World;

/// The processes of one instance.
#[derive(Debug)]
pub(crate) struct Server {
    pub epoch: u64,
    /// When the postmaster was started, by its machine's time of day, ms.
    pub started_unix_ms: u64,
    pub stage: Stage,
    /// The postmaster is dead: no new session, but backends go on for a moment.
    pub orphaned: bool,
    /// The postmaster does nothing until then.
    pub hung_until: u64,
    /// A fast shutdown is under way.
    pub stopping: bool,
    /// As the postmaster has read it.
    pub setting: Setting,
    /// As the checkpointer has read it: backends wait.
    pub waits: bool,
    pub gate_open: bool,
    /// The control file shows the timeline: the end-of-recovery checkpoint is done.
    pub checkpointed: bool,
    /// Node, slot and its term, as the startup process has read them.
    pub upstream: Option<(usize, String, Term)>,
    pub receiver: Option<ConnId>,
    pub senders: BTreeMap<ConnId, Sender>,
    /// Inserted, not yet flushed.
    pub unflushed: Vec<Record>,
    pub replayed: u64,
    pub waiting: Vec<Commit>,
    /// The number that the placeholders leave free.
    pub promote_to: Option<Timeline>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Starting { primary: bool },
    Standby,
    Primary,
}

#[derive(Debug)]
pub(crate) struct Sender {
    pub directory: DirectoryId,
    pub slot: String,
    /// The receiver's last reply.
    pub flushed: Option<u64>,
    pub sent: u64,
    pub setting: Setting,
}

/// A client's commit that has not been acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit {
    pub lsn: u64,
    pub row: u64,
}

impl Server {
    pub fn new(epoch: u64, started_unix_ms: u64, primary: bool, conf: &Conf) -> Server {
        let setting = conf.setting.clone();
        Server {
            epoch,
            started_unix_ms,
            stage: Stage::Starting { primary },
            orphaned: false,
            hung_until: 0,
            stopping: false,
            waits: !setting.names.is_empty(),
            setting,
            gate_open: conf.gate_open,
            checkpointed: true,
            upstream: None,
            receiver: None,
            senders: BTreeMap::new(),
            unflushed: Vec::new(),
            replayed: 0,
            waiting: Vec::new(),
            promote_to: None,
        }
    }

    pub fn accepts_writes(&self) -> bool {
        self.stage == Stage::Primary && !self.stopping
    }

    /// WAL may come, by what the startup process has read.
    pub fn receives(&self) -> bool {
        self.receiver.is_some() || self.upstream.is_some()
    }

    pub fn answers(&self) -> bool {
        !matches!(self.stage, Stage::Starting { .. }) && !self.stopping && !self.orphaned
    }
}

impl World {
    /// The guard starts PostgreSQL; `None`: not with a deadline at which the fence would begin at
    /// once.
    pub(crate) fn start_server(
        &mut self,
        node: usize,
        primary: bool,
        deadline: Option<Tick>,
    ) -> Result<Option<u64>, String> {
        let now = self.local(node);
        if deadline.is_some_and(|deadline| deadline - QUIT_BEFORE <= now) {
            return Ok(None);
        }
        let (full, frozen) = (self.disk_is_full(node), self.nodes[node].ails.guard_frozen);
        let machine = &mut self.nodes[node];
        if machine.server.is_some() {
            return Err("the instance is running".to_owned());
        }
        if full || frozen > self.now {
            return Err("there is no space left, or the guard does not answer".to_owned());
        }
        let Some(data) = machine.disk.data.as_mut().filter(|_| !machine.disk.unusable) else {
            return Err("there is no directory".to_owned());
        };
        data.standby_signal = !primary;
        data.clean = false;
        machine.epoch += 1;
        let (epoch, started) = (machine.epoch, machine.clock.wall(self.now));
        machine.server = Some(Server::new(epoch, started, primary, &machine.disk.conf));
        machine.deadline = deadline;
        self.guard_wakes(node);
        let recovery = self.start_ms(node);
        self.after_server(node, recovery, ForServer::Ready);
        Ok(Some(epoch))
    }

    pub(crate) fn at_server(&mut self, node: usize, what: ForServer) {
        let Some(what) = self.disk_stalls(node, what) else { return };
        match what {
            ForServer::Ready => self.ready(node),
            ForServer::Flushed => self.flushed(node),
            ForServer::Checkpointer => self.checkpointer(node),
            ForServer::SenderReloaded(conn) => self.sender_reloaded(node, conn),
            ForServer::Upstream => self.upstream_read(node),
            ForServer::Connect => self.connect(node),
            ForServer::Replayed(to) => {
                if let Some(server) = &mut self.nodes[node].server {
                    server.replayed = server.replayed.max(to);
                }
            }
            ForServer::Promoted => self.promoted(node),
            ForServer::Checkpointed => {
                if let Some(server) = &mut self.nodes[node].server {
                    server.checkpointed = true;
                }
            }
            ForServer::ShutDown => self.shut_down(node),
            ForServer::Gone => self.server_gone(node),
        }
    }

    fn ready(&mut self, node: usize) {
        let end = self.nodes[node].disk.data.as_ref().map_or(0, |data| data.log.len() as u64);
        let Some(server) = &mut self.nodes[node].server else { return };
        let Stage::Starting { primary } = server.stage else { return };
        server.replayed = end;
        server.stage = if primary { Stage::Primary } else { Stage::Standby };
        if primary {
            self.checker.opened(node);
            self.insert(node, None);
        } else {
            self.after_server(node, 1, ForServer::Upstream);
        }
    }

    /// Inserts a record; answers where it ends.
    pub(crate) fn insert(&mut self, node: usize, row: Option<u64>) -> u64 {
        let delay = self.step_ms(1, 5);
        let machine = &mut self.nodes[node];
        let Some((server, data)) = machine.server.as_mut().zip(machine.disk.data.as_ref()) else {
            return 0;
        };
        server.unflushed.push(Record { timeline: data.history.timeline, row });
        let lsn = (data.log.len() + server.unflushed.len()) as u64;
        if let Some(row) = row {
            server.waiting.push(Commit { lsn, row });
        }
        self.after_server(node, delay, ForServer::Flushed);
        lsn
    }

    fn flushed(&mut self, node: usize) {
        if self.panics(node) {
            return;
        }
        let machine = &mut self.nodes[node];
        let Some((server, data)) = machine.server.as_mut().zip(machine.disk.data.as_mut()) else {
            return;
        };
        data.log.append(&mut server.unflushed);
        self.send_wal(node);
        self.release(node);
    }

    /// Acknowledges what may be: flushed here, and confirmed as a WAL sender sees the setting.
    pub(crate) fn release(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        let Some((server, data)) = machine.server.as_mut().zip(machine.disk.data.as_ref()) else {
            return;
        };
        if server.stopping || server.stage != Stage::Primary {
            return;
        }
        let end = data.log.len() as u64;
        let upto = if server.waits { confirmed(server).min(end) } else { end };
        let (free, rest): (Vec<Commit>, Vec<Commit>) =
            server.waiting.iter().partition(|commit| commit.lsn <= upto);
        server.waiting = rest;
        let timeline = data.history.timeline;
        for commit in free {
            self.acknowledged(node, timeline, commit);
        }
    }

    /// A reload: every process reads the file in its own time.
    pub(crate) fn reload(&mut self, node: usize) {
        let conf = self.nodes[node].disk.conf.clone();
        let Some(server) = &mut self.nodes[node].server else { return };
        server.setting = conf.setting;
        server.gate_open = conf.gate_open;
        let senders: Vec<ConnId> = server.senders.keys().copied().collect();
        let delay = self.step_ms(1, 80);
        self.after_server(node, delay, ForServer::Checkpointer);
        let delay = self.step_ms(1, 60);
        self.after_server(node, delay, ForServer::Upstream);
        for conn in senders {
            let delay = self.step_ms(1, 80);
            self.after_server(node, delay, ForServer::SenderReloaded(conn));
        }
    }

    fn checkpointer(&mut self, node: usize) {
        if let Some(server) = &mut self.nodes[node].server {
            server.waits = !server.setting.names.is_empty();
        }
        self.release(node);
    }

    fn sender_reloaded(&mut self, node: usize, conn: ConnId) {
        let Some(server) = &mut self.nodes[node].server else { return };
        let setting = server.setting.clone();
        if let Some(sender) = server.senders.get_mut(&conn) {
            sender.setting = setting;
        }
        self.release(node);
    }

    fn promoted(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        let Some((server, data)) = machine.server.as_mut().zip(machine.disk.data.as_mut()) else {
            return;
        };
        if server.stage != Stage::Standby || server.stopping {
            return;
        }
        let end = data.log.len() as u64;
        let next = Timeline(data.history.timeline.0 + 1);
        let next = server.promote_to.unwrap_or(next).max(next);
        data.history = data.history.promoted(Lsn(end), next);
        (data.standby_signal, data.wal_gone) = (false, false);
        server.replayed = end;
        server.stage = Stage::Primary;
        server.checkpointed = false;
        server.upstream = None;
        let receiver = server.receiver.take();
        if let Some(conn) = receiver {
            self.close_end(conn, node);
        }
        self.checker.promoted(node, next);
        self.check_promotion(node);
        self.checker.opened(node);
        self.insert(node, None);
    }

    /// SIGINT to the postmaster: sessions end unacknowledged, receivers get everything.
    pub(crate) fn stop_fast(&mut self, node: usize, within: u64) {
        let Some(server) = &mut self.nodes[node].server else { return };
        if server.stopping {
            return;
        }
        let waits = matches!(server.stage, Stage::Primary);
        server.stopping = true;
        server.waiting.clear();
        if waits {
            self.insert(node, None);
        }
        self.after_server(node, 10, ForServer::ShutDown);
        self.after_server(node, within, ForServer::Gone);
    }

    fn shut_down(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        let Some((server, data)) = machine.server.as_mut().zip(machine.disk.data.as_mut()) else {
            return;
        };
        let end = data.log.len() as u64;
        let behind = server.senders.values().any(|s| s.flushed.is_none_or(|at| at < end));
        if behind || !server.unflushed.is_empty() {
            self.after_server(node, 10, ForServer::ShutDown);
            return;
        }
        data.clean = true;
        self.server_gone(node);
    }

    /// No process of the instance is left; what was not flushed is lost.
    pub(crate) fn server_gone(&mut self, node: usize) {
        let Some(server) = self.nodes[node].server.take() else { return };
        self.nodes[node].deadline = None;
        let ends = server.senders.keys().copied().chain(server.receiver);
        for conn in ends.collect::<Vec<_>>() {
            self.close_end(conn, node);
        }
        self.checker.closed(node);
        self.say(|w| format!("{}: no process of the instance is left", w.nodes[node].name));
        let delay = self.rng.between(1, 20);
        self.after_agent(node, delay, ForAgent::Exited);
    }

    /// What a probe sees; `None` when the server does not answer.
    pub(crate) fn facts(&self, node: usize) -> Option<Facts> {
        let machine = &self.nodes[node];
        let data = machine.disk.data.as_ref()?;
        let server = machine.server.as_ref().filter(|s| s.answers() && s.hung_until <= self.now)?;
        let senders = server.senders.values().filter_map(|sender| {
            Some(SenderFacts {
                directory: sender.directory.clone(),
                streaming: true,
                flushed: Lsn(sender.flushed?),
            })
        });
        let running = Running {
            primary: server.stage == Stage::Primary,
            history: data.history.clone(),
            position: Position { lsn: Lsn(data.log.len() as u64), ..data.end() },
            replayed: Lsn(server.replayed),
            upstream: None,
            streaming: server.receiver.is_some_and(|conn| self.is_streaming(conn)),
            senders: senders.collect(),
        };
        let slots = data.slots.iter().cloned().collect();
        Some(Facts { running, started_unix_ms: server.started_unix_ms, slots })
    }

    pub(crate) fn after_server(&mut self, node: usize, delay: u64, what: ForServer) {
        let epoch = self.nodes[node].epoch;
        self.queue.push(self.now + delay, Event::Server { node, epoch, what });
    }
}

/// Up to where commits may be acknowledged: each sender judges by the setting that it has read,
/// over all senders that count themselves.
fn confirmed(server: &Server) -> u64 {
    let by = |judge: &Sender| {
        if !judge.setting.names.contains(&judge.directory) || judge.flushed.is_none() {
            return 0;
        }
        let counting = server.senders.values().filter(|s| s.setting.names.contains(&s.directory));
        let mut ends: Vec<u64> = counting.filter_map(|s| s.flushed).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let needed = judge.setting.needed.max(1) as usize;
        ends.get(needed - 1).copied().unwrap_or(0)
    };
    server.senders.values().map(by).max().unwrap_or(0)
}
