//! A standby's replication slots: users' own, physical and logical, kept as they stand on the
//! primary, so that a failover loses none; and those of nodes that stream from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use howdah_base::ask::Ask;
use howdah_base::record::{Conditions, LogicalSlot, ServerState};
use howdah_base::status::{ClusterStatus, NodeStatus};
use howdah_postgres::logical;
use howdah_postgres::session::Session;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::shared::Shared;

/// How often a standby's slots are brought up to the primary's.
const EVERY: Duration = Duration::from_secs(3);
/// A standby is restarted for logical slots at most this often.
const RESTART_AGAIN: Duration = Duration::from_secs(120);

/// Runs until the agent is gone.
pub(crate) async fn keep(shared: Arc<Shared>, status: watch::Receiver<Option<Arc<ClusterStatus>>>) {
    let (mut complained, mut restarted) = (None, None);
    loop {
        sleep(EVERY).await;
        let now = status.borrow().clone();
        let Some(now) = now else { continue };
        restart_for_logical_slots(&shared, &now, &mut restarted).await;
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
    if !mine.is_none_or(|mine| mine.is_empty()) || !primary.user_slots.is_empty() {
        session.keep_user_slots(&primary.user_slots).await.map_err(|e| e.to_string())?;
    }
    if shared.config.major() < logical::KEPT_SINCE {
        session.drop_logical_slots(&primary.logical_slots).await.map_err(|e| e.to_string())?;
        let here = own.and_then(|own| own.member.as_ref()).map(|m| &m.logical_slots);
        advance(shared, here.unwrap_or(&BTreeMap::new()), &primary.logical_slots).await?;
    } else {
        session.drop_former_slots().await.map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Each slot that is behind its consumer, in its own database.
async fn advance(
    shared: &Shared,
    here: &BTreeMap<String, LogicalSlot>,
    there: &BTreeMap<String, LogicalSlot>,
) -> Result<(), String> {
    for (name, goal) in there {
        let at = here.get(name).and_then(|slot| slot.confirmed);
        let Some(to) = goal.confirmed.filter(|to| at.is_some_and(|at| at < *to)) else { continue };
        let config = &shared.config;
        let port = config.own().postgres_port;
        let session = Session::connect(&config.socket_dir(), port, &goal.database).await;
        let session = session.map_err(|e| e.to_string())?;
        session.advance_logical_slot(name, to).await.map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Logical slots come while a standby's server is down. So it is restarted for them: one standby
/// after the other, by name, and not again soon.
async fn restart_for_logical_slots(
    shared: &Shared,
    status: &ClusterStatus,
    last: &mut Option<Instant>,
) {
    let recently = last.is_some_and(|at| at.elapsed() < RESTART_AGAIN);
    if shared.config.major() >= logical::KEPT_SINCE || recently || status.paused.is_some() {
        return;
    }
    let leader = status.nodes.iter().find(|n| Some(&n.node) == status.leader.as_ref());
    let Some(primary) = leader.and_then(|leader| leader.member.as_ref()) else { return };
    let lacks = |node: &NodeStatus| {
        let has = node.member.as_ref().map(|member| &member.logical_slots);
        let missing = |name: &String| has.is_none_or(|has| !has.contains_key(name));
        node.state == ServerState::Streaming && primary.logical_slots.keys().any(missing)
    };
    let standbys = status.nodes.iter().filter(|node| node.node != primary.node && lacks(node));
    if standbys.map(|node| &node.node).min() != Some(&shared.config.node) {
        return;
    }
    let data_dir = shared.config.own().data_dir.clone();
    let starts: Vec<_> = primary.logical_slots.values().map(|slot| slot.restart).collect();
    let Ok(install) = shared.config.install().cloned() else { return };
    let usable = crate::jobs::blocking(move || {
        let control = howdah_postgres::control::read(&install, &data_dir);
        let segment = control.map_err(|e| e.to_string())?.segment;
        Ok(starts.into_iter().any(|lsn| logical::has_wal(&data_dir, segment, lsn)))
    });
    if !usable.await.unwrap_or(false) {
        return;
    }
    *last = Some(Instant::now());
    let nodes = vec![shared.config.node.clone()];
    let ask = Ask::Restart { nodes, conditions: Conditions::default(), at_unix_ms: None };
    tracing::info!("restarting this standby once, so that it keeps the primary's logical slots");
    if let Err(refusal) = crate::operator::one(shared, &ask, "howdah, for logical slots").await {
        tracing::warn!("not restarted for logical slots: {}", refusal.error);
    }
}
