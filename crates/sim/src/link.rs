//! Between an agent and the store: questions and answers that come late, or never although the
//! question was answered.

use std::sync::Arc;

use howdah_base::Tick;
use howdah_base::record::key;
use howdah_store::{Held, LeaseId, Renewal, Txn};

use crate::Planted;
use crate::effect::Effect;
use crate::event::{Answer, Ask, Event, ForAgent};
use crate::world::World;

/// A call without an answer is given up after this long, ms.
const CALL_MS: u64 = 1_500;

impl World {
    /// Sends a question; its answer, or that there was none, comes back under the number.
    pub(crate) fn ask(&mut self, node: usize, ask: Ask) -> u64 {
        self.calls += 1;
        let call = self.calls;
        self.after_agent(node, CALL_MS, ForAgent::Answer { call, answer: None });
        if !self.reaches_store(node) {
            self.effects.note(Effect::StoreAway);
        } else if !self.is_lost() {
            let incarnation = self.nodes[node].incarnation;
            let detour = self.detour();
            if detour > CALL_MS && matches!(ask, Ask::Txn(_)) {
                self.effects.note(Effect::LateWrite);
            }
            let at = self.now + self.way() + detour;
            self.queue.push(at, Event::AtStore { node, incarnation, call, ask });
        }
        call
    }

    pub(crate) fn at_store(&mut self, node: usize, incarnation: u64, call: u64, ask: Ask) {
        let now = Tick(self.now);
        self.expire(now);
        let answer = match ask {
            Ask::Snapshot => Answer::Snapshot(self.fresh_snapshot()),
            Ask::Txn(txn) => self.transact(txn),
            Ask::Grant => Answer::Granted(self.store.grant(self.plan.lease, now)),
            Ask::Renew(lease, held) => {
                Answer::Renewed(self.prolong_lease(lease, held.as_ref(), now))
            }
        };
        if let Some(ends) = self.store.next_expiry() {
            self.queue.push(ends.0, Event::Nothing);
        }
        if self.reaches_store(node) && !self.is_lost() {
            let at = self.now + self.way();
            let what = ForAgent::Answer { call, answer: Some(answer) };
            self.queue.push(at, Event::Agent { node, incarnation, what });
        }
    }

    fn prolong_lease(&mut self, lease: LeaseId, held: Option<&Held>, now: Tick) -> Renewal {
        match self.store.renew(lease, held, now) {
            Renewal::Lost if self.planted.has(Planted::BlindRenewal) => {
                self.store.renew(lease, None, now)
            }
            renewal => renewal,
        }
    }

    /// Leases that have run out end. A leader whose questions or answers were lost on the way may
    /// live, and is not to be told from one that is lost.
    pub(crate) fn expire(&mut self, now: Tick) {
        let before = self.store.revision();
        self.store.expire(now);
        if self.plan.late_percent > 0 && self.store.revision() != before {
            let (was, is) = (self.snapshot(), self.store.snapshot());
            let led = was.entries.contains_key(key::LEADER);
            self.checker.lapsed |= led && !is.entries.contains_key(key::LEADER);
        }
    }

    fn transact(&mut self, txn: Txn) -> Answer {
        Answer::Txn(self.store.txn(txn, Tick(self.now)))
    }

    /// The one picture that all share, unless a lease has just run out.
    fn fresh_snapshot(&self) -> Arc<howdah_store::Snapshot> {
        let shared = self.snapshot();
        if shared.revision == self.store.revision() {
            return shared;
        }
        Arc::new(self.store.snapshot())
    }

    fn is_lost(&mut self) -> bool {
        let late = if self.quiet() { 0 } else { self.plan.late_percent };
        late > 0 && self.rng.percent(late / 3)
    }

    fn way(&mut self) -> u64 {
        let late = if self.quiet() { 0 } else { self.plan.late_percent };
        if late > 0 && self.rng.percent(late) {
            self.effects.note(Effect::StoreLate);
            return self.rng.between(50, CALL_MS - 50);
        }
        self.rng.between(1, self.plan.store_ms)
    }

    /// A question may arrive when nobody waits for its answer any more.
    fn detour(&mut self) -> u64 {
        let late = if self.quiet() { 0 } else { self.plan.late_percent };
        if self.rng.percent(late / 4) { self.rng.between(500, 3 * CALL_MS) } else { 0 }
    }

    pub(crate) fn quiet(&self) -> bool {
        self.now >= self.plan.quiet_from
    }
}
