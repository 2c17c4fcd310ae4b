//! The store is away: this leader asks the others to take part in no takeover, and answers another
//! leader who asks (PROTOCOL section 2, `howdah_ha::grace`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::{NodeName, Term, Tick};
use howdah_ha::View;
use howdah_ha::grace::{self, Plea};
use tokio::sync::oneshot;

use crate::agent::Agent;
use crate::event::Event;

/// A leader's question to this node, with the way back.
#[derive(Debug)]
pub struct Pleaded {
    pub plea: Plea,
    /// For how long, or why not.
    pub reply: oneshot::Sender<Result<Duration, String>>,
}

/// What the others have promised this leader.
#[derive(Debug, Default)]
pub(crate) struct Grace {
    promised: BTreeMap<NodeName, Tick>,
    asked_at: Option<Tick>,
    /// The log has been told.
    told: bool,
}

impl Agent {
    /// Asks whoever has to be asked, once per renewal that should have been.
    pub fn plead(&mut self, view: &View, now: Tick) {
        let Some(nodes) = grace::to_ask(view, &self.memory, now) else {
            self.grace = Grace::default();
            return;
        };
        let pause = view.settings.renew;
        if self.grace.asked_at.is_some_and(|at| now < at + pause) {
            return;
        }
        self.grace.asked_at = Some(now);
        for node in nodes {
            let Some(member) = view.store.members.get(&node) else { continue };
            self.ask(node, &format!("{}:{}", member.host, member.peer_port), view, now);
        }
        self.prolong(view, now);
    }

    fn ask(&self, node: NodeName, address: &str, view: &View, asked_at: Tick) {
        let (shared, events) = (Arc::clone(&self.shared), self.events.clone());
        let (address, term, within) = (address.to_owned(), view.store.term, view.settings.renew);
        tokio::spawn(async move {
            let word = shared.config.peers.plead(&node, &address, term, within).await;
            let _ = events.send(Event::Promised { node, term, word, asked_at }).await;
        });
    }

    /// A word counts from before it was asked for.
    pub fn promised(
        &mut self,
        node: NodeName,
        term: Term,
        word: Result<Duration, String>,
        asked_at: Tick,
    ) {
        let view = self.view();
        match word {
            Ok(length) if term == view.store.term => {
                let until = self.grace.promised.entry(node).or_insert(asked_at);
                *until = (*until).max(asked_at + length);
                self.prolong(&view, crate::clock::now());
            }
            Ok(_) => {}
            Err(why) => tracing::debug!("`{node}` does not promise to wait: {why}"),
        }
    }

    fn prolong(&mut self, view: &View, now: Tick) {
        if grace::to_ask(view, &self.memory, now).is_none() {
            return;
        }
        let Some(until) = grace::until(view, &self.memory, &self.grace.promised, now) else {
            return;
        };
        if self.held_until.is_some_and(|held| held < until) {
            if !std::mem::replace(&mut self.grace.told, true) {
                tracing::warn!(
                    "the store is away: this primary goes on, because nobody else can be elected"
                );
            }
            self.extend_to(until);
        }
    }

    /// Another node leads, has lost the store, and asks this one to wait: decided here, in the
    /// loop, so that nothing else is decided in between; told once it is on the disk.
    pub fn pleaded(&mut self, asked: Pleaded) {
        let Pleaded { plea, reply } = asked;
        let now = crate::clock::now();
        let length = match grace::grant(&self.view(), &plea, now) {
            Ok(length) => length,
            Err(why) => {
                let _ = reply.send(Err(why));
                return;
            }
        };
        let held_back = self.promises.holding_back(now + length, length);
        self.promises = held_back;
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let kept = held_back.keep(&shared).await.map(|_| length);
            let _ = reply.send(kept);
        });
    }
}
