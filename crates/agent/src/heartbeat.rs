//! The leader's direct sign of life, asked for once its renewals in the store are late: the second
//! of the two signals that a suspicion needs, on a way that does not lead over the store.

use std::time::Duration;

use async_trait::async_trait;
use howdah_base::{NodeName, Term, Tick};
use howdah_ha::View;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::event::Event;

/// How nodes ask each other without the store; the binary knows the way.
#[async_trait]
pub trait Peers: Send + Sync + std::fmt::Debug {
    /// What the agent of the node whose HTTP is at `address` (`host:port`) says within `within`.
    async fn sign_of_life(&self, address: &str, within: Duration) -> Sign;

    /// Asks `node`, whose peer port is at `address`, to take part in no takeover of `term` for a
    /// while; for how long, or why not.
    async fn plead(
        &self,
        node: &NodeName,
        address: &str,
        term: Term,
        within: Duration,
    ) -> Result<Duration, String>;
}

/// What came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// The agent says that it lives.
    Alive,
    /// The machine takes connections, and no good answer comes: the agent may be frozen.
    Silent,
    /// The machine answers, and no agent listens there.
    Refused,
    /// No connection comes about.
    Unreachable,
}

/// What this node has heard of the leader.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    asking: bool,
    asked_at: Option<Tick>,
    /// The leader that does not answer, since when, and how it did not last.
    missing: Option<(NodeName, Tick, Sign)>,
}

impl Heartbeat {
    /// Since when neither the leader's agent nor, where its machine answers, its server has been
    /// heard. `streams`: WAL comes from it.
    pub fn unheard(&self, streams: bool) -> Option<Tick> {
        let (_, since, sign) = self.missing.as_ref()?;
        let gone = *sign == Sign::Unreachable || (*sign == Sign::Refused && !streams);
        gone.then_some(*since)
    }

    pub fn heard(&mut self, leader: &NodeName, asked_at: Tick, sign: Sign) {
        self.asking = false;
        let since = self.missing.take().filter(|(node, ..)| node == leader).map(|(_, at, _)| at);
        let missing = sign != Sign::Alive;
        self.missing = missing.then(|| (leader.clone(), since.unwrap_or(asked_at), sign));
    }
}

impl Agent {
    /// Asks the leader when its renewals are late; answers when to look again.
    pub fn listen(&mut self, view: &View, now: Tick) -> Option<Instant> {
        let leader = view.leader().map(|leader| leader.node.clone());
        let leader = leader.filter(|node| *node != view.me)?;
        let renew = view.settings.renew;
        let late = self.memory.beat?.1 + renew + renew / 4;
        if now < late {
            self.heartbeat.missing = None;
        }
        let again = self.heartbeat.asked_at.map_or(late, |at| late.max(at + renew / 2));
        if now < again {
            return Some(Instant::now() + now.until(again));
        }
        let member = view.store.members.get(&leader).filter(|_| !self.heartbeat.asking)?;
        (self.heartbeat.asking, self.heartbeat.asked_at) = (true, Some(now));
        let (shared, events) = (self.shared.clone(), self.events.clone());
        let address = format!("{}:{}", member.host, member.http_port);
        tokio::spawn(async move {
            let sign = shared.config.peers.sign_of_life(&address, renew * 3 / 4).await;
            let _ = events.send(Event::Heard { leader, sign, asked_at: now }).await;
        });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signs in the order in which they came, one a second from 1 s on.
    fn unheard(signs: &[Sign], streams: bool) -> Option<u64> {
        let (mut heartbeat, n1) = (Heartbeat::default(), "n1".parse().expect("a name"));
        for (at, sign) in (1..).zip(signs) {
            heartbeat.heard(&n1, Tick(at * 1_000), *sign);
        }
        heartbeat.unheard(streams).map(|at| at.0)
    }

    #[test]
    fn a_machine_that_is_not_reached_is_unheard_since_it_was_first_asked() {
        let signs = [Sign::Alive, Sign::Unreachable, Sign::Refused, Sign::Unreachable];
        assert_eq!(unheard(&signs, true), Some(2_000));
        assert_eq!(unheard(&[Sign::Unreachable, Sign::Alive], false), None);
    }

    #[test]
    fn an_agent_that_is_gone_counts_once_its_server_is_not_heard_either() {
        assert_eq!(unheard(&[Sign::Refused], true), None);
        assert_eq!(unheard(&[Sign::Refused], false), Some(1_000));
    }

    #[test]
    fn an_agent_that_says_nothing_may_be_frozen_beside_a_server_that_is_well() {
        assert_eq!(unheard(&[Sign::Silent, Sign::Silent], false), None);
    }
}
