//! From a snapshot to the view that decisions are made from.

use std::collections::BTreeMap;

use howdah_base::record::{
    ChangeKind, Fence, Handover, Initialize, Intent, Leader, Member, Order, Planned, Sync, key,
};
use howdah_base::{NodeName, Term, Tick, Timeline};
use howdah_ha::{StoreView, Versioned};
use howdah_store::{LeaseId, Snapshot, StoreError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// So many of the last failovers are looked at.
const FAILOVERS_MAX: usize = 10;

/// What `snapshot` says to the node whose lease is `lease`.
///
/// `renewed_at` and `renewing` come from whoever keeps the lease; `held_until` is his to add.
///
/// # Errors
/// A record that does not read: nothing may be decided from the rest.
pub fn view_of(
    snapshot: &Snapshot,
    lease: Option<LeaseId>,
    renewed_at: Option<Tick>,
    renewing: bool,
) -> Result<StoreView, StoreError> {
    let members = snapshot.below::<Member>(key::MEMBERS)?;
    let failovers = failovers(snapshot)?;
    view_with(snapshot, lease, renewed_at, renewing, members, failovers)
}

/// Reads snapshots of one store, one after the other: what stands as it did is not read again.
#[derive(Debug, Default)]
pub struct Reader {
    members: BTreeMap<String, (Member, u64)>,
    /// By the revision of the history.
    failovers: Option<(u64, Vec<u64>)>,
}

impl Reader {
    /// As [`view_of`].
    ///
    /// # Errors
    /// As there.
    pub fn view_of(
        &mut self,
        snapshot: &Snapshot,
        lease: Option<LeaseId>,
    ) -> Result<StoreView, StoreError> {
        self.members = snapshot.below_known(key::MEMBERS, std::mem::take(&mut self.members))?;
        let stands = snapshot.entries.get(key::HISTORY).map(|entry| entry.revision);
        let known = self.failovers.take().filter(|(revision, _)| Some(*revision) == stands);
        let failovers = match known {
            Some((_, failovers)) => failovers,
            None => failovers(snapshot)?,
        };
        self.failovers = stands.map(|revision| (revision, failovers.clone()));
        view_with(snapshot, lease, None, false, self.members.clone(), failovers)
    }
}

fn view_with(
    snapshot: &Snapshot,
    lease: Option<LeaseId>,
    renewed_at: Option<Tick>,
    renewing: bool,
    members: BTreeMap<String, (Member, u64)>,
    failovers: Vec<u64>,
) -> Result<StoreView, StoreError> {
    let leader = versioned::<Leader>(snapshot, key::LEADER)?;
    let leader_mine = leader.is_some() && lease.is_some() && snapshot.lease(key::LEADER) == lease;
    Ok(StoreView {
        reachable: true,
        leader,
        leader_mine,
        beat: versioned::<Leader>(snapshot, key::BEAT)?,
        renewed_at,
        held_until: None,
        renewing,
        term: snapshot.get::<Term>(key::TERM)?.map_or(Term(0), |(term, _)| term),
        timeline: snapshot.get::<Timeline>(key::TIMELINE)?.map_or(Timeline(0), |(t, _)| t),
        sync: versioned::<Sync>(snapshot, key::SYNC)?,
        handover: versioned::<Handover>(snapshot, key::HANDOVER)?,
        intent: versioned::<Intent>(snapshot, key::INTENT)?,
        initialize: snapshot.get::<Initialize>(key::INITIALIZE)?.map(|(value, _)| value),
        initializing: snapshot.get::<NodeName>(key::INITIALIZING)?.map(|(node, _)| node),
        member_revisions: members
            .values()
            .map(|(member, revision)| (member.node.clone(), *revision))
            .collect(),
        members: members.into_values().map(|(member, _)| (member.node.clone(), member)).collect(),
        paused: snapshot.entries.contains_key(key::PAUSE),
        fenced: snapshot
            .below::<Fence>(key::FENCED)?
            .into_keys()
            .filter_map(|node| node.parse().ok())
            .collect(),
        orders: snapshot
            .below::<Order>(key::ORDERS)?
            .into_iter()
            .filter_map(|(node, (value, revision))| {
                Some((node.parse().ok()?, Versioned { value, revision }))
            })
            .collect(),
        planned: versioned::<Planned>(snapshot, key::PLANNED)?,
        failovers,
    })
}

/// A change of leader, as far as decisions depend on it.
#[derive(Deserialize)]
struct Brief {
    at_unix_ms: u64,
    kind: ChangeKind,
}

fn failovers(snapshot: &Snapshot) -> Result<Vec<u64>, StoreError> {
    let history = snapshot.get::<Vec<Brief>>(key::HISTORY)?.map_or_else(Vec::new, |(all, _)| all);
    let failovers = history.iter().rev().filter(|change| change.kind == ChangeKind::Failover);
    Ok(failovers.take(FAILOVERS_MAX).map(|change| change.at_unix_ms).collect())
}

fn versioned<T: DeserializeOwned>(
    snapshot: &Snapshot,
    key: &str,
) -> Result<Option<Versioned<T>>, StoreError> {
    Ok(snapshot.get(key)?.map(|(value, revision)| Versioned { value, revision }))
}
