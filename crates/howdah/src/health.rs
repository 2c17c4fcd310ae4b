//! From the agent's status and vital signs to the health that HTTP checks ask for.

use std::sync::Arc;

use howdah_agent::Vitals;
use howdah_api::{Health, patroni};
use howdah_base::record::ServerState;
use howdah_base::status::ClusterStatus;
use howdah_base::{Lsn, Tick};
use tokio::sync::watch;

/// A channel that follows both.
pub fn follow(
    mut status: watch::Receiver<Arc<ClusterStatus>>,
    mut vitals: watch::Receiver<Vitals>,
) -> watch::Receiver<Health> {
    let mut seen = Seen::default();
    let (sender, receiver) = watch::channel(health(&status.borrow(), &vitals.borrow(), &mut seen));
    tokio::spawn(async move {
        loop {
            let changed = tokio::select! {
                changed = status.changed() => changed,
                changed = vitals.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            let next = health(&status.borrow_and_update(), &vitals.borrow_and_update(), &mut seen);
            sender.send_replace(next);
        }
    });
    receiver
}

/// What was so when it could be seen last.
#[derive(Default)]
struct Seen {
    leader_end: Option<Lsn>,
    store: Option<Tick>,
}

fn health(status: &ClusterStatus, vitals: &Vitals, seen: &mut Seen) -> Health {
    let of = |name| status.nodes.iter().find(|node| Some(&node.node) == name);
    let own = of(Some(&status.seen_by));
    let member = own.and_then(|own| own.member.as_ref());
    let leader_end = of(status.leader.as_ref()).and_then(|leader| leader.position);
    seen.leader_end = leader_end.map(|end| end.lsn).or(seen.leader_end);
    seen.store = status.store.reachable.then_some(vitals.beat).or(seen.store);
    Health {
        state: own.map_or(ServerState::Unknown, |own| own.state),
        leader_until: vitals.leader_until,
        position: own.and_then(|own| own.position),
        replayed: member.and_then(|m| m.replayed),
        leader_end: seen.leader_end,
        voter: own.is_some_and(|own| own.voter),
        beat: vitals.beat,
        system_identifier: vitals.system_identifier,
        tags: member.map(patroni::tags).unwrap_or_default(),
        paused: status.paused.is_some(),
        store_seen: seen.store,
        store_reachable: status.store.reachable,
    }
}
