//! The promises that a leader asks for while the store is away, as crates/agent/src/grace.rs does:
//! the only messages that go from agent to agent.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_base::{NodeName, Term, Tick};
use howdah_ha::View;
use howdah_ha::grace::{self, Plea};

use crate::Planted;
use crate::effect::Effect;
use crate::event::ForAgent;
use crate::world::World;

/// The longest way of one message, ms.
const WAY_MS: u64 = 30;

/// What others have promised this leader.
#[derive(Debug, Default)]
pub(crate) struct Grace {
    promised: BTreeMap<NodeName, Tick>,
    asked_at: Option<Tick>,
}

impl World {
    pub(crate) fn plead(&mut self, node: usize, view: &View, now: Tick) {
        let Some(nodes) = grace::to_ask(view, &self.agent(node).memory, now) else {
            self.agent(node).grace = Grace::default();
            return;
        };
        let renew = self.plan.renew;
        if self.agent(node).grace.asked_at.is_some_and(|at| now < at + renew) {
            return;
        }
        self.agent(node).grace.asked_at = Some(now);
        for to in nodes {
            let (to, way) = (self.index(&to), self.rng.between(1, WAY_MS));
            if self.passes_from(node, to) {
                let what = ForAgent::Pleaded { from: node, term: view.store.term, asked_at: now };
                self.after_agent(to, way, what);
            }
        }
        self.prolong(node, view, now);
    }

    /// Another leader asks: written down before it is told.
    pub(crate) fn pleaded(&mut self, node: usize, from: usize, term: Term, asked_at: Tick) {
        let (view, now) = (self.view(node), self.local(node));
        let plea = Plea { from: self.nodes[from].name.clone(), term };
        let mut granted = grace::grant(&view, &plea, now).ok();
        if self.planted.has(Planted::GraceBesidePromise) && granted.is_none() {
            granted = Some(self.plan.lease);
        }
        let Some(length) = granted else { return };
        let until = (now + length).max(self.agent(node).held_back_until.unwrap_or_default());
        self.agent(node).held_back_until = Some(until);
        self.nodes[node].disk.held_back_until = Some(until);
        self.say(|w| {
            let (name, length) = (&w.nodes[node].name, length.as_millis());
            format!("{name}: takes part in no takeover for {length} ms")
        });
        let way = self.step_ms(1, WAY_MS);
        if self.passes_from(node, from) {
            let by = self.nodes[node].name.clone();
            self.after_agent(from, way, ForAgent::Promised { by, term, length, asked_at });
        }
    }

    pub(crate) fn promised(
        &mut self,
        node: usize,
        by: NodeName,
        term: Term,
        length: Duration,
        asked_at: Tick,
    ) {
        let view = self.view(node);
        if term != view.store.term {
            return;
        }
        let until = self.agent(node).grace.promised.entry(by).or_insert(asked_at);
        *until = (*until).max(asked_at + length);
        let now = self.local(node);
        self.prolong(node, &view, now);
    }

    fn prolong(&mut self, node: usize, view: &View, now: Tick) {
        let agent = self.agent(node);
        if grace::to_ask(view, &agent.memory, now).is_none() {
            return;
        }
        let Some(until) = grace::until(view, &agent.memory, &agent.grace.promised, now) else {
            return;
        };
        if self.agent(node).held_until.is_some_and(|held| held < until) {
            self.effects.note(Effect::Grace);
            self.agent(node).held_until = Some(until);
            self.nodes[node].grace_until = Some(until);
            self.say(|w| {
                let left = now.until(until).as_millis();
                format!("{}: may write for {left} ms more, as others promised", w.nodes[node].name)
            });
            let _ = self.extend(node, until);
        }
    }
}
