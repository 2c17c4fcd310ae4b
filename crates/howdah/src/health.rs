//! From the agent's status and vital signs to the health that HTTP checks ask for.

use std::sync::Arc;

use howdah_agent::Vitals;
use howdah_api::Health;
use howdah_base::record::ServerState;
use howdah_base::status::ClusterStatus;
use tokio::sync::watch;

/// A channel that follows both.
pub fn follow(
    mut status: watch::Receiver<Arc<ClusterStatus>>,
    mut vitals: watch::Receiver<Vitals>,
) -> watch::Receiver<Health> {
    let (sender, receiver) = watch::channel(health(&status.borrow(), &vitals.borrow()));
    tokio::spawn(async move {
        loop {
            let changed = tokio::select! {
                changed = status.changed() => changed,
                changed = vitals.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            let next = health(&status.borrow_and_update(), &vitals.borrow_and_update());
            sender.send_replace(next);
        }
    });
    receiver
}

fn health(status: &ClusterStatus, vitals: &Vitals) -> Health {
    let own = status.nodes.iter().find(|n| n.node == status.seen_by);
    let member = own.and_then(|own| own.member.as_ref());
    Health {
        cluster: status.cluster.clone(),
        node: status.seen_by.clone(),
        term: status.term,
        state: own.map_or(ServerState::Unknown, |own| own.state),
        leader_until: vitals.leader_until,
        position: own.and_then(|own| own.position),
        replayed: member.and_then(|m| m.replayed),
        lag_bytes: own.and_then(|own| own.lag_bytes),
        voter: own.is_some_and(|own| own.voter),
        beat: vitals.beat,
        version: member.and_then(|m| m.version.clone()),
        system_identifier: vitals.system_identifier,
        tags: member.map(|m| m.tags.clone()).unwrap_or_default(),
    }
}
