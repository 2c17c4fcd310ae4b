//! A standby's replication slots: users' own, kept as they stand on the primary, so that a
//! failover loses none; and those of nodes that stream from it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::record::ServerState;
use howdah_base::status::ClusterStatus;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::shared::Shared;

/// How often a standby's slots are brought up to the primary's.
const EVERY: Duration = Duration::from_secs(3);

/// Runs until the agent is gone.
pub(crate) async fn keep(shared: Arc<Shared>, status: watch::Receiver<Option<Arc<ClusterStatus>>>) {
    let mut complained = None;
    loop {
        sleep(EVERY).await;
        let now = status.borrow().clone();
        let Some(now) = now else { continue };
        let result = copy(&shared, &now).await;
        if let Err(error) = &result
            && complained.as_ref() != Some(error)
        {
            tracing::warn!("users' replication slots are not kept here: {error}");
        }
        complained = result.err();
    }
}

async fn copy(shared: &Shared, status: &ClusterStatus) -> Result<(), String> {
    let own = status.nodes.iter().find(|n| n.node == shared.config.node);
    let leader = status.nodes.iter().find(|n| Some(&n.node) == status.leader.as_ref());
    let streams = own.is_some_and(|own| own.state == ServerState::Streaming);
    let primary =
        leader.filter(|l| l.state == ServerState::Primary).and_then(|l| l.member.as_ref());
    let Some(primary) = primary.filter(|_| streams) else { return Ok(()) };
    let mine = own.and_then(|own| own.member.as_ref()).map(|m| &m.user_slots);
    let session = shared.session().await?;
    // Others are of a term in which this node led: nobody uses them, and they hold WAL back.
    let members = status.nodes.iter().filter_map(|node| node.member.as_ref());
    let wanted: BTreeSet<String> = howdah_ha::cascaded(members, &shared.config.node)
        .into_iter()
        .map(|id| id.slot(status.term))
        .collect();
    session.keep_own_slots(&wanted).await.map_err(|e| e.to_string())?;
    if mine.is_none_or(|mine| mine.is_empty()) && primary.user_slots.is_empty() {
        return Ok(());
    }
    session.keep_user_slots(&primary.user_slots).await.map_err(|e| e.to_string())
}
