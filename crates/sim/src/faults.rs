//! What befalls the cluster, and how it is taken back.

use howdah_base::record::{Leader, key};

use crate::event::{ForAgent, ForServer};
use crate::plan::{FaultKind, Who};
use crate::server::Stage;
use crate::world::World;

impl World {
    pub(crate) fn fault(&mut self, index: usize) {
        let kind = self.plan.faults[index].kind;
        let (kind, until) = (self.aimed(kind), self.now + self.plan.faults[index].lasts);
        self.plan.faults[index].kind = kind;
        self.say(|_| format!("------  {kind:?} until {:.3}", until as f64 / 1000.0));
        match kind {
            FaultKind::KillPostmaster(who) => self.kill_postmaster(self.which(who)),
            FaultKind::KillNode(who) => self.kill_node(self.which(who)),
            FaultKind::FreezeAgent(who) => {
                let node = self.which(who);
                if let Some(agent) = &mut self.nodes[node].agent {
                    agent.frozen_until = until;
                }
            }
            FaultKind::RestartAgent(who) => {
                let node = self.which(who);
                if self.nodes[node].up {
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
            FaultKind::Isolate(who) => {
                let node = self.which(who);
                self.nodes[node].store_cuts += 1;
                let others = (0..self.nodes.len()).filter(|other| *other != node);
                self.cuts.extend(others.map(|other| (node.min(other), node.max(other))));
            }
            FaultKind::Asked(request) => self.request(request),
            FaultKind::DeleteStandby(node) => self.delete_standby(node),
            FaultKind::EndLeases => self.end_leases(),
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
        self.store.end_all_leases();
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
            FaultKind::KillNode(who) => FaultKind::KillNode(at(who)),
            FaultKind::FreezeAgent(who) => FaultKind::FreezeAgent(at(who)),
            FaultKind::RestartAgent(who) => FaultKind::RestartAgent(at(who)),
            FaultKind::StoreAway(who) => FaultKind::StoreAway(who.map(at)),
            FaultKind::Cut(who, other) => FaultKind::Cut(at(who), other),
            FaultKind::Isolate(who) => FaultKind::Isolate(at(who)),
            other => other,
        }
    }

    fn which(&self, who: Who) -> usize {
        match who {
            Who::Node(node) => node,
            Who::Leader => self.leader().unwrap_or(0),
        }
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        let leader = self.snapshot().get::<Leader>(key::LEADER).ok().flatten();
        leader.map(|(leader, _)| self.index(&leader.node))
    }

    /// Backends outlive their postmaster for a moment; then the guard has ended them.
    fn kill_postmaster(&mut self, node: usize) {
        if let Some(server) = &mut self.nodes[node].server {
            server.orphaned = true;
            let delay = self.rng.between(5, 200);
            self.after_server(node, delay, ForServer::Gone);
        }
    }

    fn kill_node(&mut self, node: usize) {
        if !self.nodes[node].up {
            return;
        }
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
        self.server_gone(node);
        self.nodes[node].disk.data = None;
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
