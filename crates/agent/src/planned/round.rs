//! The leader goes through the restarts whose moment has come.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::record::{Leader, key};
use howdah_base::status::ClusterStatus;
use howdah_store::TxnOutcome;
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Next, Picture, with_servers};
use crate::clock;
use crate::shared::Shared;

/// How often the leader looks whether there is something to do.
const EVERY: Duration = Duration::from_millis(500);
/// After a restart others may get a new value to wait for, once they have heard of it.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);

/// Runs until the agent is gone.
pub(crate) async fn keep(shared: Arc<Shared>, status: watch::Receiver<Option<Arc<ClusterStatus>>>) {
    let mut complained = None;
    loop {
        sleep(EVERY).await;
        let now = clock::unix_ms();
        let due = status.borrow().as_ref().is_some_and(|status| {
            let leads = status.leader.as_ref() == Some(&shared.config.node);
            let mut planned = status.nodes.iter().filter_map(|node| node.restart.as_ref());
            leads && planned.any(|plan| plan.given_up.is_none() && plan.at_unix_ms <= now)
        });
        if !due {
            continue;
        }
        match step(&shared, now).await {
            Ok(true) => sleep(SETTLES_WITHIN).await,
            Ok(false) => {}
            Err(error) => {
                if complained.as_ref() != Some(&error) {
                    tracing::warn!("the planned restarts do not go on: {error}");
                }
                complained = Some(error);
            }
        }
    }
}

/// Takes the next step; whether one restart was ended by it.
async fn step(shared: &Shared, now: u64) -> Result<bool, String> {
    let store = &shared.config.store;
    let seen = store.snapshot().await.map_err(|e| e.to_string())?;
    let picture = Picture::of(&seen, with_servers(&shared.spec())).map_err(|e| e.to_string())?;
    let leader = seen.get::<Leader>(key::LEADER).map_err(|e| e.to_string())?;
    let Some((_, revision)) = leader.filter(|(leader, _)| leader.node == shared.config.node) else {
        return Ok(false);
    };
    let next = picture.next(now);
    let Some(txn) = picture.txn(&next, revision, now) else { return Ok(false) };
    let outcome = store.txn(txn).await.map_err(|e| e.to_string())?;
    if !matches!(outcome, TxnOutcome::Applied { .. }) {
        return Ok(false);
    }
    match &next {
        Next::Begin(node) => tracing::info!("the planned restart of {node} is begun"),
        Next::End(node, None) => tracing::info!("the planned restart of {node} is done"),
        Next::End(node, Some(why)) => {
            tracing::info!("the planned restart of {node} is dropped: {why}");
        }
        Next::GiveUp(why) => tracing::error!("the planned restarts are given up: {why}"),
        Next::Nothing | Next::Wait(_) => {}
    }
    Ok(matches!(next, Next::End(..)))
}
