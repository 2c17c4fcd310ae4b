//! What befalls the cluster, and how it is taken back.

use howdah_base::record::{Leader, key};

use crate::Planted;
use crate::effect::Effect;
use crate::event::{ForAgent, ForServer};
use crate::machine::Ailments;
use crate::plan::{FaultKind, Who};
use crate::server::Stage;
use crate::world::World;

/// The records of a transaction that writes much: more than all clients of a plan meanwhile.
const MUCH: usize = 4_000;

impl World {
    pub(crate) fn fault(&mut self, index: usize) {
        let kind = self.plan.faults[index].kind;
        let (kind, until) = (self.aimed(kind), self.now + self.plan.faults[index].lasts);
        self.plan.faults[index].kind = kind;
        if let FaultKind::KillNode(who) | FaultKind::Isolate(who) = kind {
            self.hit_last = self.which(who);
        }
        self.say(|_| format!("------  {kind:?} until {:.3}", until as f64 / 1000.0));
        match kind {
            FaultKind::KillPostmaster(who) => self.kill_postmaster(self.which(who)),
            FaultKind::KillGuard(who) => self.kill_guard(self.which(who)),
            FaultKind::KillNode(who) => self.kill_node(self.which(who)),
            FaultKind::FreezeAgent(who) => self.freeze_agent(self.which(who), until),
            FaultKind::FreezeBoth(who) => {
                let node = self.which(who);
                self.freeze_agent(node, until);
                let frozen = &mut self.nodes[node].ails.guard_frozen;
                *frozen = until.max(*frozen);
            }
            FaultKind::RestartAgent(who) => {
                let node = self.which(who);
                if self.nodes[node].up {
                    self.effects.note(Effect::AgentRestarted);
                    self.start_agent(node);
                }
            }
            FaultKind::StoreAway(None) => self.store_cuts += 1,
            FaultKind::StoreAway(Some(who)) => {
                let node = self.which(who);
                self.nodes[node].store_cuts += 1;
            }
            FaultKind::Cut(who, other) => {
                let node = self.which(who);
                self.cuts.push((node.min(other), node.max(other)));
            }
            FaultKind::OneWay(who, other, from) => {
                let node = self.which(who);
                self.one_way.push(if from { (node, other) } else { (other, node) });
            }
            FaultKind::Isolate(who) => {
                let node = self.which(who);
                self.nodes[node].store_cuts += 1;
                let others = (0..self.nodes.len()).filter(|other| *other != node);
                self.cuts.extend(others.map(|other| (node.min(other), node.max(other))));
            }
            FaultKind::Asked(request) => self.request(request),
            FaultKind::DeleteStandby(node) => self.delete_standby(node),
            FaultKind::EndLeases => self.end_leases(),
            FaultKind::WallJump(who, by) => {
                let node = self.which(who);
                self.nodes[node].clock.wall_jump += by;
                self.effects.note(Effect::WallJumped);
            }
            FaultKind::HangPostmaster(who) => self.hang_postmaster(self.which(who), until),
            FaultKind::LoseWal(node) => self.lose_wal(node),
            FaultKind::WriteMuch(who) => self.write_much(self.which(who)),
            kind => self.ail(kind, until),
        }
    }

    /// What ails a machine for a while.
    fn ail(&mut self, kind: FaultKind, until: u64) {
        let (who, ailment): (Who, fn(&mut Ailments) -> &mut u64) = match kind {
            FaultKind::Suspend(who) => (who, |ails| &mut ails.suspended),
            FaultKind::StalledDisk(who) => (who, |ails| &mut ails.stalled),
            FaultKind::FullDisk(who) => (who, |ails| &mut ails.full),
            FaultKind::FillingDisk(who) => {
                self.effects.note(Effect::DiskFilling);
                (who, |ails| &mut ails.filling)
            }
            FaultKind::SlowStart(who) => (who, |ails| &mut ails.slow_start),
            FaultKind::Unwatched(who) => (who, |ails| &mut ails.unwatched),
            _ => return,
        };
        let node = self.which(who);
        let ends = ailment(&mut self.nodes[node].ails);
        *ends = until.max(*ends);
    }

    fn freeze_agent(&mut self, node: usize, until: u64) {
        if let Some(agent) = &mut self.nodes[node].agent {
            agent.frozen_until = until.max(agent.frozen_until);
        }
    }

    pub(crate) fn fault_over(&mut self, index: usize) {
        match self.plan.faults[index].kind {
            FaultKind::Asked(request) => self.request_over(request),
            FaultKind::KillNode(who) => self.start_node(self.which(who)),
            FaultKind::StoreAway(None) => self.store_cuts -= 1,
            FaultKind::StoreAway(Some(who)) => {
                let node = self.which(who);
                self.nodes[node].store_cuts -= 1;
            }
            FaultKind::Cut(who, other) => {
                let node = self.which(who);
                self.mend(node, other);
            }
            FaultKind::OneWay(who, other, from) => {
                let node = self.which(who);
                let way = if from { (node, other) } else { (other, node) };
                let at = self.one_way.iter().position(|known| *known == way);
                at.map(|at| self.one_way.swap_remove(at));
            }
            FaultKind::WallJump(who, by) => {
                let node = self.which(who);
                self.nodes[node].clock.wall_jump -= by;
            }
            FaultKind::Isolate(who) => {
                let node = self.which(who);
                self.nodes[node].store_cuts -= 1;
                for other in (0..self.nodes.len()).filter(|other| *other != node) {
                    self.mend(node, other);
                }
            }
            _ => {}
        }
    }

    /// What the holder had prolonged until then stays its right, by its own clock.
    fn end_leases(&mut self) {
        if let Some(node) = self.leader() {
            let right = self.local(node) + self.plan.lease - self.plan.margin;
            let until = self.nodes[node].clock.truly(right, self.now);
            self.checker.ended_early(node, until);
        }
        if self.store.end_all_leases() {
            self.effects.note(Effect::LeaseEndedEarly);
        }
    }

    fn mend(&mut self, node: usize, other: usize) {
        let cut = (node.min(other), node.max(other));
        let at = self.cuts.iter().position(|known| *known == cut);
        at.map(|at| self.cuts.swap_remove(at));
    }

    /// The leader of the moment is a node from here on.
    fn aimed(&self, kind: FaultKind) -> FaultKind {
        let at = |who| Who::Node(self.which(who));
        match kind {
            FaultKind::KillPostmaster(who) => FaultKind::KillPostmaster(at(who)),
            FaultKind::KillGuard(who) => FaultKind::KillGuard(at(who)),
            FaultKind::KillNode(who) => FaultKind::KillNode(at(who)),
            FaultKind::FreezeAgent(who) => FaultKind::FreezeAgent(at(who)),
            FaultKind::FreezeBoth(who) => FaultKind::FreezeBoth(at(who)),
            FaultKind::Suspend(who) => FaultKind::Suspend(at(who)),
            FaultKind::RestartAgent(who) => FaultKind::RestartAgent(at(who)),
            FaultKind::StoreAway(who) => FaultKind::StoreAway(who.map(at)),
            FaultKind::Cut(who, other) => FaultKind::Cut(at(who), other),
            FaultKind::OneWay(who, other, from) => FaultKind::OneWay(at(who), other, from),
            FaultKind::Isolate(who) => FaultKind::Isolate(at(who)),
            FaultKind::WallJump(who, by) => FaultKind::WallJump(at(who), by),
            FaultKind::StalledDisk(who) => FaultKind::StalledDisk(at(who)),
            FaultKind::FullDisk(who) => FaultKind::FullDisk(at(who)),
            FaultKind::FillingDisk(who) => FaultKind::FillingDisk(at(who)),
            FaultKind::HangPostmaster(who) => FaultKind::HangPostmaster(at(who)),
            FaultKind::SlowStart(who) => FaultKind::SlowStart(at(who)),
            FaultKind::Unwatched(who) => FaultKind::Unwatched(at(who)),
            FaultKind::WriteMuch(who) => FaultKind::WriteMuch(at(who)),
            other => other,
        }
    }

    fn which(&self, who: Who) -> usize {
        match who {
            Who::Node(node) => node,
            Who::Leader => self.leader().unwrap_or(0),
            Who::Again => self.hit_last,
        }
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        let leader = self.snapshot().get::<Leader>(key::LEADER).ok().flatten();
        leader.map(|(leader, _)| self.index(&leader.node))
    }

    fn write_much(&mut self, node: usize) {
        if self.nodes[node].server.as_ref().is_some_and(|server| server.accepts_writes()) {
            for _ in 0..MUCH {
                self.insert(node, None);
            }
        }
    }

    /// Backends outlive their postmaster for a moment; then the guard has ended them.
    fn kill_postmaster(&mut self, node: usize) {
        self.count_crash(node);
        if let Some(server) = &mut self.nodes[node].server {
            server.orphaned = true;
            self.effects.note(Effect::PostmasterKilled);
            let delay = self.rng.between(5, 200);
            if self.planted.has(Planted::BackendOutlives) {
                self.after_server(node, 25 * delay, ForServer::Gone);
                self.after_agent(node, delay, ForAgent::Exited);
                return;
            }
            self.after_server(node, delay, ForServer::Gone);
        }
    }

    fn kill_node(&mut self, node: usize) {
        if !self.nodes[node].up {
            return;
        }
        let server = self.nodes[node].server.as_ref();
        if server.is_some_and(|server| !server.unflushed.is_empty()) {
            self.effects.note(Effect::TailLost);
        }
        self.effects.note(Effect::HostLost);
        self.server_gone(node);
        self.host_is_gone(node);
        let machine = &mut self.nodes[node];
        machine.up = false;
        machine.agent = None;
        machine.incarnation += 1;
    }

    fn start_node(&mut self, node: usize) {
        if !self.nodes[node].up {
            self.nodes[node].up = true;
            // Its clock counts from its start: the whole length of a promise is waited again.
            let (now, lease) = (self.local(node), self.plan.lease);
            let disk = &mut self.nodes[node].disk;
            disk.held_back_until = disk.held_back_until.map(|_| now + lease);
            self.start_agent(node);
        }
    }

    /// Only of a healthy cluster: an operator who deletes the last copies loses them.
    fn delete_standby(&mut self, node: usize) {
        let healthy = (0..self.nodes.len()).all(|n| self.serves(n));
        let standby = self.nodes[node].server.as_ref().is_some_and(|s| s.stage == Stage::Standby);
        if !healthy || !standby || self.nodes.len() < 3 {
            return;
        }
        self.effects.note(Effect::DirectoryDeleted);
        self.server_gone(node);
        let data = self.nodes[node].disk.data.take();
        self.checker.deleted.extend(data.map(|data| data.id));
        self.after_agent(node, 3, ForAgent::ReadDisk);
    }

    /// A primary with open gate, or a standby that streams.
    pub(crate) fn serves(&self, node: usize) -> bool {
        self.nodes[node].server.as_ref().is_some_and(|server| match server.stage {
            Stage::Primary => server.gate_open && server.answers(),
            Stage::Standby => server.receiver.is_some_and(|conn| self.is_streaming(conn)),
            Stage::Starting { .. } => false,
        })
    }
}
