//! The node's lease as crates/agent/src/lease.rs keeps it: granted once, renewed in time, counted
//! from before the question.

use howdah_base::Tick;
use howdah_store::{Held, LeaseId, Renewal};

use crate::Planted;
use crate::agent::Purpose;
use crate::event::Ask;
use crate::world::World;

/// Pause after a grant that failed, ms.
const GRANT_RETRY_MS: u128 = 500;

/// What this node knows of it.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    pub id: Option<LeaseId>,
    pub renewed_at: Option<Tick>,
    pub asked: bool,
    pub last_try: Option<Tick>,
}

impl World {
    /// Until when this node may write, by its last renewal.
    pub(crate) fn deadline(&mut self, node: usize) -> Option<Tick> {
        let span = self.plan.lease - self.plan.margin;
        self.agent(node).lease.renewed_at.map(|at| at + span)
    }

    pub(crate) fn keep_lease(&mut self, node: usize, now: Tick) {
        let renew = self.plan.renew;
        let leads = self.leads(node);
        let lease = &self.agent(node).lease;
        if lease.asked {
            return;
        }
        let since = |at: &Tick| now.since(*at);
        match lease.id {
            None if lease
                .last_try
                .as_ref()
                .is_none_or(|at| since(at).as_millis() >= GRANT_RETRY_MS) =>
            {
                self.ask_lease(node, Ask::Grant, |sent_at| Purpose::Grant { sent_at });
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

    pub(crate) fn renew(&mut self, node: usize, id: LeaseId, held: Option<Held>) {
        let compares = held.is_some();
        let purpose = |sent_at| Purpose::Renew { lease: id, held: compares, sent_at };
        self.ask_lease(node, Ask::Renew(id, held), purpose);
    }

    fn ask_lease(&mut self, node: usize, ask: Ask, purpose: impl FnOnce(Tick) -> Purpose) {
        let sent_at = self.local(node);
        let call = self.ask(node, ask);
        let agent = self.agent(node);
        agent.lease.asked = true;
        agent.lease.last_try = Some(sent_at);
        agent.calls.insert(call, purpose(sent_at));
    }

    /// The planted mistake: counting from the answer instead of from before the question.
    pub(crate) fn counted_from(&self, node: usize, sent_at: Tick) -> Tick {
        if self.planted.has(Planted::LateLease) { self.local(node) } else { sent_at }
    }

    pub(crate) fn renewed(&mut self, node: usize, renewal: Renewal, held: bool, sent_at: Tick) {
        let counted = self.counted_from(node, sent_at);
        let agent = self.agent(node);
        agent.lease.asked = false;
        if renewal == Renewal::Lost {
            agent.lease = Lease::default();
            return;
        }
        agent.lease.renewed_at = Some(counted);
        let alive = agent.alive;
        if alive && held && self.leads(node) {
            let deadline = self.deadline(node);
            if let Some(deadline) = deadline {
                self.agent(node).held_until = Some(deadline);
                let _ = self.extend(node, deadline);
            }
        }
    }
}
