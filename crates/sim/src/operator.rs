//! What an operator asks for in the middle of all this, recorded as crates/agent/src/requests.rs
//! does it; and what must follow from the answers that he got.

use howdah_base::NodeName;
use howdah_base::record::{
    Answer, Conditions, Fence, Intent, IntentKind, Leader, Member, Order, OrderKind, Pause,
    Planned, ServerState, key,
};
use howdah_store::{Snapshot, Txn, TxnOutcome};

use crate::effect::Effect;
use crate::plan::Request;
use crate::world::World;

/// A request that could not be begun by then is not begun, ms: shorter than in the product, for
/// a run is short.
const INTENT_LIVES_MS: u64 = 15_000;

impl World {
    /// As through the API: what the record forbids is not recorded.
    pub(crate) fn request(&mut self, request: Request) {
        let seen = self.snapshot();
        let txn = match request {
            Request::Switchover(to) => self.switchover_to(&seen, to),
            Request::Failover(to) => self.failover(&seen, to),
            Request::Plan(to, in_ms) => self.plan_switchover(&seen, to, in_ms),
            Request::Abort => self.abort(&seen),
            Request::Pause => {
                let pause = Pause { by: by(), at_unix_ms: self.now };
                Some(Txn::new().absent(key::PAUSE).put(key::PAUSE, &pause))
            }
            Request::Fence(node) => {
                let (key, fence) = (self.fence_key(node), Fence { by: by(), at_unix_ms: self.now });
                Some(Txn::new().absent(key.clone()).put(key, &fence))
            }
            Request::Restart(node) => self.restart(&seen, node),
            Request::Reinit(node, from) => self.reinit(&seen, node, from),
        };
        let applied = txn.map(|txn| self.transact_now(txn));
        self.say(|_| format!("------  recorded: {applied:?}"));
        if applied == Some(true) {
            self.effects.note(effect(request));
        }
        if request == Request::Abort && applied == Some(true) {
            self.checker.gave_up(unsealed(&seen).map(|(intent, _)| intent));
        }
    }

    pub(crate) fn request_over(&mut self, request: Request) {
        let key = match request {
            Request::Pause => key::PAUSE.to_owned(),
            Request::Fence(node) => self.fence_key(node),
            _ => return,
        };
        self.transact_now(Txn::new().delete(key));
    }

    fn transact_now(&mut self, txn: Txn) -> bool {
        let outcome = self.store.txn(txn, howdah_base::Tick(self.now));
        matches!(outcome, TxnOutcome::Applied { .. })
    }

    fn name(&self, node: usize) -> NodeName {
        self.nodes[node].name.clone()
    }

    fn fence_key(&self, node: usize) -> String {
        format!("{}{}", key::FENCED, self.nodes[node].name)
    }

    fn fresh_id(&mut self) -> String {
        self.intents += 1;
        self.intents.to_string()
    }

    fn intent(&mut self, seen: &Snapshot, kind: IntentKind) -> Option<Txn> {
        let there = seen.get::<Intent>(key::INTENT).ok().flatten();
        let late = |i: &Intent| !i.sealed && i.until_unix_ms.is_some_and(|at| at < self.now);
        let waiting = there.as_ref().is_some_and(|(intent, _)| !late(intent));
        if waiting {
            return None;
        }
        let (id, until_unix_ms) = (self.fresh_id(), Some(self.now + INTENT_LIVES_MS));
        let intent = Intent { id, kind, by: by(), sealed: false, until_unix_ms };
        Some(Txn::new().as_seen(key::INTENT, there.map(|(_, at)| at)).put(key::INTENT, &intent))
    }

    fn switchover_to(&mut self, seen: &Snapshot, to: Option<usize>) -> Option<Txn> {
        leader(seen)?;
        let to = to.map(|node| self.name(node));
        self.intent(seen, IntentKind::Switchover { to })
    }

    /// Without accepting a loss: so whatever comes of it, nothing may be lost.
    fn failover(&mut self, seen: &Snapshot, to: usize) -> Option<Txn> {
        if leader(seen).is_some() {
            return None;
        }
        let to = self.name(to);
        self.intent(seen, IntentKind::Failover { to, accept_loss: false })
    }

    fn plan_switchover(&mut self, seen: &Snapshot, to: Option<usize>, in_ms: u64) -> Option<Txn> {
        leader(seen)?;
        let (id, to) = (self.fresh_id(), to.map(|node| self.name(node)));
        let planned = Planned { id, to, at_unix_ms: self.now + in_ms, by: by() };
        Some(Txn::new().absent(key::PLANNED).put(key::PLANNED, &planned))
    }

    fn abort(&mut self, seen: &Snapshot) -> Option<Txn> {
        let Some((intent, revision)) = unsealed(seen) else {
            let (_, revision) = seen.get::<Planned>(key::PLANNED).ok().flatten()?;
            return Some(Txn::new().at(key::PLANNED, revision).delete(key::PLANNED));
        };
        let answer = Answer { id: intent.id, why: "an operator gave it up".to_owned() };
        Some(
            Txn::new()
                .at(key::INTENT, revision)
                .absent(key::HANDOVER)
                .delete(key::INTENT)
                .put(key::ANSWER, &answer),
        )
    }

    fn restart(&mut self, seen: &Snapshot, node: usize) -> Option<Txn> {
        let member = self.member(seen, node)?;
        if member.started_unix_ms.is_none() && member.server != ServerState::Stopped {
            return None;
        }
        let conditions = Conditions::default();
        let started_unix_ms = member.started_unix_ms;
        self.order(node, OrderKind::Restart { conditions, started_unix_ms })
    }

    fn reinit(&mut self, seen: &Snapshot, node: usize, from: Option<usize>) -> Option<Txn> {
        let (leader, member) = (leader(seen)?, self.member(seen, node)?);
        if leader.node == member.node {
            return None;
        }
        let from = from.map(|from| self.name(from));
        self.order(node, OrderKind::Reinit { from, directory: member.directory, repository: false })
    }

    fn order(&mut self, node: usize, kind: OrderKind) -> Option<Txn> {
        let key = format!("{}{}", key::ORDERS, self.nodes[node].name);
        let order = Order { id: self.fresh_id(), kind, by: by(), at_unix_ms: None };
        Some(Txn::new().absent(key.clone()).put(key, &order))
    }

    fn member(&self, seen: &Snapshot, node: usize) -> Option<Member> {
        let key = format!("{}{}", key::MEMBERS, self.nodes[node].name);
        seen.get(&key).ok().flatten().map(|(member, _)| member)
    }

    /// Requests that nobody has answered.
    pub(crate) fn unanswered(&self) -> Vec<String> {
        let seen = self.snapshot();
        let asked = |key: &&String| {
            [key::INTENT, key::PLANNED].contains(&key.as_str()) || key.starts_with(key::ORDERS)
        };
        seen.entries.keys().filter(asked).cloned().collect()
    }
}

fn effect(request: Request) -> Effect {
    match request {
        Request::Switchover(_) => Effect::Switchover,
        Request::Failover(_) => Effect::Failover,
        Request::Plan(..) => Effect::Plan,
        Request::Abort => Effect::Abort,
        Request::Pause => Effect::Pause,
        Request::Fence(_) => Effect::Fence,
        Request::Restart(_) => Effect::Restart,
        Request::Reinit(..) => Effect::Reinit,
    }
}

fn by() -> String {
    "operator".to_owned()
}

/// The request under way, as long as it can be given up.
fn unsealed(seen: &Snapshot) -> Option<(Intent, u64)> {
    let handed = seen.entries.contains_key(key::HANDOVER);
    let there = seen.get::<Intent>(key::INTENT).ok().flatten();
    there.filter(|(intent, _)| !intent.sealed && !handed)
}

fn leader(seen: &Snapshot) -> Option<Leader> {
    seen.get(key::LEADER).ok().flatten().map(|(leader, _)| leader)
}
