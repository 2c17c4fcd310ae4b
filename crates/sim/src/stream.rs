//! Replication connections: WAL one way, replies the other, each in order and in its time.
//!
//! What a dead process had sent still arrives, also after a cut has healed, as the kernel of
//! its host sees to; of a dead host nothing does.

use std::collections::VecDeque;

use howdah_base::{History, Term};

use crate::Planted;
use crate::disk::{Record, reached};
use crate::effect::Effect;
use crate::event::{Event, ForServer};
use crate::server::{Sender, Stage};
use crate::world::World;

pub(crate) type ConnId = u64;

/// Neither end has heard of the other for this long: it gives up, ms.
const SILENCE_MS: u64 = 4_000;
const BEAT_MS: u64 = 1_000;
/// What a cut holds back is tried again after this, ms.
const CUT_MS: u64 = 40;
/// A usual packet takes at most this long, ms.
const LINK_MS: u64 = 15;
/// A replay that lags takes at most this long, ms.
const REPLAY_MS: u64 = 800;
/// A receiver that was refused tries again, ms.
const RETRY_MS: u64 = 300;

#[derive(Debug)]
pub(crate) struct Conn {
    pub primary: usize,
    pub standby: usize,
    /// As the standby's file names it.
    term: Term,
    down: VecDeque<(u64, Message)>,
    up: VecDeque<(u64, Message)>,
    heard_primary: u64,
    heard_standby: u64,
    /// WAL has arrived.
    streaming: bool,
    /// When what a cut holds back is tried again.
    retry_at: u64,
}

impl Conn {
    /// Something is due and has not been delivered.
    fn waits(&self, now: u64) -> bool {
        [&self.down, &self.up].iter().any(|way| way.front().is_some_and(|(at, _)| *at <= now))
    }
}

#[derive(Debug)]
enum Message {
    Wal { from: u64, records: Vec<Record>, history: History },
    Reply(u64),
    Alive,
    Close,
}

impl World {
    /// The startup process acts on the upstream that the file names.
    pub(crate) fn upstream_read(&mut self, node: usize) {
        let machine = &self.nodes[node];
        let wanted = machine.disk.conf.upstream.as_ref().zip(machine.disk.data.as_ref());
        let wanted = wanted.map(|((name, term), data)| {
            (self.index(name), data.id.slot(self.slot_term(*term)), *term)
        });
        let Some(server) = &mut self.nodes[node].server else { return };
        if server.stage != Stage::Standby || server.upstream == wanted {
            return;
        }
        server.upstream = wanted;
        if let Some(conn) = server.receiver.take() {
            self.close_end(conn, node);
        }
        self.after_server(node, 5, ForServer::Connect);
    }

    /// A WAL receiver tries to connect.
    pub(crate) fn connect(&mut self, node: usize) {
        let Some(server) = &self.nodes[node].server else { return };
        if server.receiver.is_some() || server.stage != Stage::Standby || server.stopping {
            return;
        }
        let Some((to, slot, term)) = server.upstream.clone() else { return };
        if self.passes(node, to) && !self.lacks_wal(node) && self.slot_is_free(to, &slot) {
            self.open(node, to, slot, term);
        } else {
            self.after_server(node, RETRY_MS, ForServer::Connect);
        }
    }

    fn slot_is_free(&self, node: usize, slot: &str) -> bool {
        let machine = &self.nodes[node];
        let there = machine.disk.data.as_ref().is_some_and(|data| data.slots.contains(slot));
        let server = machine.server.as_ref().filter(|server| server.answers());
        there
            && server.is_some_and(|server| {
                let taken = server.senders.values().any(|s| s.slot == slot);
                let taken = taken && !self.planted.has(Planted::TwoSendersASlot);
                server.stage == Stage::Primary && !taken
            })
    }

    fn open(&mut self, standby: usize, primary: usize, slot: String, term: Term) {
        self.conns_opened += 1;
        let id = self.conns_opened;
        let Some(data) = &self.nodes[standby].disk.data else { return };
        let (end, directory) = (data.end(), data.id.clone());
        let history = self.nodes[primary].disk.data.as_ref().map(|d| d.history.clone());
        let fits = history.is_some_and(|history| history.contains(end));
        let conn = Conn {
            primary,
            standby,
            term,
            down: VecDeque::new(),
            up: VecDeque::new(),
            heard_primary: self.now,
            heard_standby: self.now,
            streaming: false,
            retry_at: 0,
        };
        self.conns.insert(id, conn);
        if let Some(server) = &mut self.nodes[primary].server {
            let setting = server.setting.clone();
            let sender = Sender { directory, slot, flushed: None, sent: end.lsn.0, setting };
            server.senders.insert(id, sender);
        }
        if let Some(server) = &mut self.nodes[standby].server {
            server.receiver = Some(id);
        }
        self.send_up(id, Message::Reply(end.lsn.0));
        if fits {
            self.push_wal(primary, id);
            self.queue.push(self.now + BEAT_MS, Event::Beat(id));
        } else {
            self.send_down(id, Message::Close);
            self.queue.push(self.now + SILENCE_MS, Event::Beat(id));
        }
    }

    pub(crate) fn is_streaming(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|conn| conn.streaming)
    }

    /// Everything flushed goes to every receiver.
    pub(crate) fn send_wal(&mut self, node: usize) {
        let Some(server) = &self.nodes[node].server else { return };
        let conns: Vec<ConnId> = server.senders.keys().copied().collect();
        for conn in conns {
            self.push_wal(node, conn);
        }
    }

    fn push_wal(&mut self, node: usize, conn: ConnId) {
        let machine = &mut self.nodes[node];
        let Some((server, data)) = machine.server.as_mut().zip(machine.disk.data.as_ref()) else {
            return;
        };
        let Some(sender) = server.senders.get_mut(&conn) else { return };
        let from = sender.sent.min(data.log.len() as u64);
        let records = data.log[from as usize..].to_vec();
        sender.sent = data.log.len() as u64;
        let history = data.history.clone();
        self.send_down(conn, Message::Wal { from, records, history });
    }

    /// Slow links are as quick as others once all is quiet.
    fn packet_ms(&mut self, id: ConnId) -> u64 {
        let standby = self.conns.get(&id).map_or(0, |conn| conn.standby);
        let longest = if self.quiet() { LINK_MS } else { self.plan.link_ms[standby] };
        self.rng.between(1, longest)
    }

    fn send_down(&mut self, id: ConnId, message: Message) {
        let delay = self.packet_ms(id);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let at = conn.down.back().map_or(0, |(at, _)| *at).max(self.now + delay);
        conn.down.push_back((at, message));
        self.queue.push(at, Event::Deliver(id));
    }

    fn send_up(&mut self, id: ConnId, message: Message) {
        let delay = self.packet_ms(id);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let at = conn.up.back().map_or(0, |(at, _)| *at).max(self.now + delay);
        conn.up.push_back((at, message));
        self.queue.push(at, Event::Deliver(id));
    }

    pub(crate) fn deliver(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else { return };
        let (primary, standby) = (conn.primary, conn.standby);
        let down = self.arrives(primary, standby) && !self.disk_is_stalled(standby);
        let up = self.arrives(standby, primary);
        while down && let Some(message) = self.due(id, true) {
            self.at_standby(id, message);
        }
        while up && let Some(message) = self.due(id, false) {
            self.at_primary(id, message);
        }
        if !(down && up) && self.conns.get(&id).is_some_and(|conn| conn.waits(self.now)) {
            let both = self.nodes[primary].up && self.nodes[standby].up;
            let one_way = [(primary, standby), (standby, primary)];
            match one_way.iter().any(|way| self.one_way.contains(way)) {
                _ if !both => {}
                true => self.effects.note(Effect::OneWay),
                false => self.effects.note(Effect::LinkCut),
            }
            self.try_later(id);
        }
    }

    fn try_later(&mut self, id: ConnId) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.retry_at <= now) else {
            return;
        };
        conn.retry_at = now + CUT_MS;
        self.queue.push(now + CUT_MS, Event::Deliver(id));
    }

    fn due(&mut self, id: ConnId, down: bool) -> Option<Message> {
        let now = self.now;
        let conn = self.conns.get_mut(&id)?;
        let (queue, heard) = if down {
            (&mut conn.down, &mut conn.heard_primary)
        } else {
            (&mut conn.up, &mut conn.heard_standby)
        };
        queue.front().filter(|(at, _)| *at <= now)?;
        *heard = now;
        queue.pop_front().map(|(_, message)| message)
    }

    fn at_standby(&mut self, id: ConnId, message: Message) {
        let Some(node) = self.conns.get(&id).map(|conn| conn.standby) else { return };
        let there = self.nodes[node].server.as_ref().is_some_and(|s| s.receiver == Some(id));
        match message {
            _ if !there => {}
            Message::Wal { from, records, history } => self.receive(id, from, records, &history),
            Message::Close => {
                self.close_end(id, node);
                self.after_server(node, RETRY_MS, ForServer::Connect);
            }
            Message::Alive | Message::Reply(_) => {}
        }
    }

    fn receive(&mut self, id: ConnId, from: u64, records: Vec<Record>, history: &History) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.streaming = true;
        let (node, term) = (conn.standby, conn.term);
        if !records.is_empty() {
            self.check_receives(node, term);
        }
        if self.panics(node) {
            return;
        }
        let Some(data) = &mut self.nodes[node].disk.data else { return };
        if data.log.len() as u64 != from {
            return;
        }
        data.log.extend(records);
        let end = data.log.len() as u64;
        data.history = reached(history, end);
        self.send_up(id, Message::Reply(end));
        let longest = if self.quiet() { REPLAY_MS } else { self.plan.replay_ms[node] };
        let lags = longest > REPLAY_MS || self.rng.percent(5);
        let delay = if lags { self.rng.between(50, longest) } else { 2 };
        self.after_server(node, delay, ForServer::Replayed(end));
    }

    fn at_primary(&mut self, id: ConnId, message: Message) {
        let Some(node) = self.conns.get(&id).map(|conn| conn.primary) else { return };
        let Some(server) = &mut self.nodes[node].server else { return };
        let Some(sender) = server.senders.get_mut(&id) else { return };
        match message {
            Message::Reply(end) => {
                sender.flushed = Some(end);
                self.release(node);
            }
            Message::Close => self.close_end(id, node),
            Message::Alive | Message::Wal { .. } => {}
        }
    }

    /// One end is closed; the other learns of it when the packet arrives.
    pub(crate) fn close_end(&mut self, id: ConnId, node: usize) {
        let Some(conn) = self.conns.get(&id) else { return };
        let primary = conn.primary == node;
        if let Some(server) = &mut self.nodes[node].server {
            server.senders.remove(&id);
            server.receiver = server.receiver.filter(|conn| *conn != id);
        }
        if primary {
            self.send_down(id, Message::Close);
        } else {
            self.send_up(id, Message::Close);
        }
    }

    /// Of a dead host nothing arrives any more.
    pub(crate) fn host_is_gone(&mut self, node: usize) {
        for conn in self.conns.values_mut() {
            if conn.primary == node {
                conn.down.clear();
            }
            if conn.standby == node {
                conn.up.clear();
            }
        }
    }

    pub(crate) fn beat(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else { return };
        let (primary, standby) = (conn.primary, conn.standby);
        let sends = self.nodes[primary].server.as_ref();
        let sends = sends.is_some_and(|s| s.senders.contains_key(&id));
        let receives = self.nodes[standby].server.as_ref();
        let receives = receives.is_some_and(|s| s.receiver == Some(id));
        if !sends && !receives {
            self.conns.remove(&id);
            return;
        }
        let silent = |heard: u64| self.now > heard + SILENCE_MS;
        let (primary_silent, standby_silent) =
            (silent(conn.heard_primary), silent(conn.heard_standby));
        let (primary_runs, standby_runs) =
            (!self.is_suspended(primary), !self.is_suspended(standby));
        if sends && !receives && !self.nodes[standby].up {
            self.effects.note(Effect::HalfOpen);
        }
        if sends && primary_runs {
            self.send_down(id, Message::Alive);
        }
        if receives && standby_runs {
            self.send_up(id, Message::Alive);
        }
        if sends && primary_runs && standby_silent {
            self.close_end(id, primary);
        }
        if receives && standby_runs && primary_silent {
            self.close_end(id, standby);
            self.after_server(standby, RETRY_MS, ForServer::Connect);
        }
        self.queue.push(self.now + BEAT_MS, Event::Beat(id));
    }
}
