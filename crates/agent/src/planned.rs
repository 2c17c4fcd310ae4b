//! Restarts that are planned: recorded for each node, and given out by whoever leads when their
//! moment has come, one after the other: standbys first, the primary last, each only while every
//! other server serves.
//!
//! Everything that must survive a change of leader stands in the store: what is planned, what has
//! been begun, and what was given up and why.

use std::collections::BTreeMap;

use howdah_base::NodeName;
use howdah_base::ask::{Refusal, RefusalClass};
use howdah_base::record::{
    Answer, Conditions, Fence, Leader, Member, Order, OrderKind, Pause, PlannedRestart,
    ServerState, key,
};
use howdah_spec::{ClusterSpec, NodeKind};
use howdah_store::{Snapshot, StoreError, Txn};

use crate::operator::unavailable;
use crate::requests::{Done, Record, Recorded};

/// A node serves again within this after its restart was begun, milliseconds.
pub(crate) const BACK_WITHIN_MS: u64 = 120_000;
/// A planned restart is begun at most so long after its moment: it may have to wait for others,
/// milliseconds.
pub(crate) const LATE_MAX_MS: u64 = 1_800_000;

/// What the planned restarts are judged by.
#[derive(Debug)]
pub(crate) struct Picture {
    leader: Option<NodeName>,
    /// All that have a server, but those that are to stay down.
    servers: Vec<NodeName>,
    members: BTreeMap<NodeName, Member>,
    /// The plans that were not given up, with the revisions of their records.
    plans: BTreeMap<NodeName, (PlannedRestart, u64)>,
    given_up: BTreeMap<NodeName, String>,
    orders: BTreeMap<NodeName, (Order, u64)>,
    answers: BTreeMap<NodeName, Answer>,
    paused: bool,
}

/// What is to be done with them now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// The moment of none has come, or the one that was begun is on its way.
    Nothing,
    /// It has come, and something is in the way.
    Wait(String),
    Begin(NodeName),
    /// This one is over: its server serves again, or why it was not restarted.
    End(NodeName, Option<String>),
    /// None of those whose moment has come is begun any more.
    GiveUp(String),
}

impl Picture {
    /// Of the nodes in `all`.
    ///
    /// # Errors
    /// A record that does not read.
    pub fn of(seen: &Snapshot, all: Vec<NodeName>) -> Result<Picture, StoreError> {
        let fenced = by_node::<Fence>(seen, key::FENCED)?;
        let (mut plans, mut given_up) = (by_node::<PlannedRestart>(seen, key::RESTARTS)?, vec![]);
        plans.retain(|node, (plan, _)| match plan.given_up.take() {
            Some(why) => {
                given_up.push((node.clone(), why));
                false
            }
            None => true,
        });
        Ok(Picture {
            leader: seen.get::<Leader>(key::LEADER)?.map(|(leader, _)| leader.node),
            servers: all.into_iter().filter(|node| !fenced.contains_key(node)).collect(),
            members: without_revision(by_node(seen, key::MEMBERS)?),
            plans,
            given_up: given_up.into_iter().collect(),
            orders: by_node(seen, key::ORDERS)?,
            answers: without_revision(by_node(seen, key::ANSWERS)?),
            paused: seen.get::<Pause>(key::PAUSE)?.is_some(),
        })
    }

    /// The next step, at `now` by the wall clock, milliseconds since 1970.
    pub fn next(&self, now: u64) -> Next {
        let due = || self.plans.iter().filter(|(_, (plan, _))| plan.at_unix_ms <= now);
        if let Some((node, (plan, _))) = due().find(|(_, (p, _))| p.begun_unix_ms.is_some()) {
            return self.under_way(node, plan, now);
        }
        let Some(node) = due().map(|(node, _)| node).min_by_key(|node| self.place(node)) else {
            return Next::Nothing;
        };
        if !self.servers.contains(node) {
            return Next::End(node.clone(), Some("it has no server that is to run".to_owned()));
        }
        let in_the_way = self.in_the_way(node);
        let late = due().any(|(_, (plan, _))| now - plan.at_unix_ms > LATE_MAX_MS);
        match (in_the_way, late) {
            (Some(why), false) => Next::Wait(why),
            (why, true) => {
                let why = why.unwrap_or_else(|| "nothing could be begun".to_owned());
                let minutes = LATE_MAX_MS / 60_000;
                Next::GiveUp(format!("not begun within {minutes} minutes of its moment: {why}"))
            }
            (None, false) => Next::Begin(node.clone()),
        }
    }

    /// Standbys by name, then the primary. Where only what is pending is restarted, nodes with
    /// nothing pending come after all others: a value that falls waits for the primary first.
    fn place<'n>(&self, node: &'n NodeName) -> (bool, bool, &'n NodeName) {
        let pending = self.members.get(node).is_some_and(|m| !m.pending_restart.is_empty());
        let only_pending = self.plans.get(node).is_some_and(|(plan, _)| plan.conditions.pending);
        (only_pending && !pending, self.leader.as_ref() == Some(node), node)
    }

    fn under_way(&self, node: &NodeName, plan: &PlannedRestart, now: u64) -> Next {
        let ordered = self.orders.get(node).is_some_and(|(order, _)| order.id == plan.id);
        let answer = self.answers.get(node).filter(|answer| answer.id == plan.id);
        if let Some(answer) = answer.filter(|_| !ordered) {
            return Next::End(node.clone(), Some(answer.why.clone()));
        }
        let anew =
            self.members.get(node).is_some_and(|m| m.started_unix_ms != plan.started_unix_ms);
        if !ordered && anew && self.not_serving(node).is_none() {
            return Next::End(node.clone(), None);
        }
        let since = plan.begun_unix_ms.unwrap_or(now);
        if now.saturating_sub(since) > BACK_WITHIN_MS {
            let seconds = BACK_WITHIN_MS / 1000;
            let why = format!("`{node}` did not serve again within {seconds} s of its restart");
            return Next::GiveUp(why);
        }
        Next::Nothing
    }

    fn in_the_way(&self, node: &NodeName) -> Option<String> {
        if self.paused {
            return Some("the cluster is paused".to_owned());
        }
        if self.leader.is_none() {
            return Some("there is no leader".to_owned());
        }
        if let Some(why) = self.servers.iter().find_map(|other| self.not_serving(other)) {
            return Some(why);
        }
        let moves = |kind: &OrderKind| !matches!(kind, OrderKind::Reload);
        let busy = |(on, (order, _)): (&NodeName, &(Order, u64))| {
            (on == node || moves(&order.kind)).then(|| format!("`{on}` has another order"))
        };
        self.orders.iter().find_map(busy)
    }

    fn not_serving(&self, node: &NodeName) -> Option<String> {
        let Some(member) = self.members.get(node) else {
            return Some(format!("the agent of `{node}` does not answer"));
        };
        let serves = matches!(member.server, ServerState::Primary | ServerState::Streaming);
        (!serves).then(|| format!("`{node}` is {}", crate::status::worded(member.server)))
    }

    /// What an operator should know of them, one sentence each.
    pub fn problems(&self, now: u64) -> Vec<String> {
        let given_up = |(node, why): (&NodeName, &String)| {
            format!(
                "the planned restart of `{node}` was given up: {why}; hint: howdah restart {node}, \
                 or drop it: howdah restart {node} --cancel"
            )
        };
        let mut all: Vec<String> = self.given_up.iter().map(given_up).collect();
        if let Next::Wait(why) = self.next(now) {
            all.push(format!("a planned restart waits: {why}"));
        }
        all
    }

    /// The transaction for a step that the leader takes, whose key stands at `leader`.
    pub fn txn(&self, step: &Next, leader: u64, now: u64) -> Option<Txn> {
        let mine = Txn::new().at(key::LEADER, leader);
        match step {
            Next::Nothing | Next::Wait(_) => None,
            Next::Begin(node) => {
                let (plan, revision) = self.plans.get(node)?;
                let started = self.members.get(node)?.started_unix_ms;
                let conditions = plan.conditions.clone();
                let kind = OrderKind::Restart { conditions, started_unix_ms: started };
                let by = plan.by.clone();
                let order = Order { id: plan.id.clone(), kind, by, at_unix_ms: None };
                let (begun_unix_ms, started_unix_ms) = (Some(now), started);
                let plan = PlannedRestart { begun_unix_ms, started_unix_ms, ..plan.clone() };
                let (at, orders) = (restarts(node), format!("{}{node}", key::ORDERS));
                let txn = mine.at(&*at, *revision).put(at, &plan);
                Some(txn.absent(&*orders).put(orders, &order))
            }
            Next::End(node, _) => {
                let (at, (_, revision)) = (restarts(node), self.plans.get(node)?);
                Some(mine.at(&*at, *revision).delete(at))
            }
            Next::GiveUp(why) => Some(self.given_up(mine, why, now)),
        }
    }

    /// The rest of the round stays as it is, with the reason; the order of the one that was begun
    /// goes, so that it is not carried out at some later time.
    fn given_up(&self, mut txn: Txn, why: &str, now: u64) -> Txn {
        for (node, (plan, revision)) in &self.plans {
            if plan.at_unix_ms > now {
                continue;
            }
            let given_up = PlannedRestart { given_up: Some(why.to_owned()), ..plan.clone() };
            txn = txn.at(restarts(node), *revision).put(restarts(node), &given_up);
            let order = self.orders.get(node).filter(|(order, _)| order.id == plan.id);
            if let Some((_, revision)) = order {
                let at = format!("{}{node}", key::ORDERS);
                txn = txn.at(&*at, *revision).delete(at);
            }
        }
        txn
    }
}

/// The nodes that have a server, by the cluster file.
pub(crate) fn with_servers(spec: &ClusterSpec) -> Vec<NodeName> {
    let data = spec.nodes.iter().filter(|(_, of)| of.kind != NodeKind::Witness);
    data.map(|(node, _)| node.clone()).collect()
}

fn restarts(node: &NodeName) -> String {
    format!("{}{node}", key::RESTARTS)
}

fn by_node<T: serde::de::DeserializeOwned>(
    seen: &Snapshot,
    prefix: &str,
) -> Result<BTreeMap<NodeName, (T, u64)>, StoreError> {
    let all = seen.below::<T>(prefix)?.into_iter();
    Ok(all.filter_map(|(node, record)| Some((node.parse().ok()?, record))).collect())
}

fn without_revision<T>(all: BTreeMap<NodeName, (T, u64)>) -> BTreeMap<NodeName, T> {
    all.into_iter().map(|(node, (record, _))| (node, record)).collect()
}

/// Records a restart for each of these nodes, all or none. One that was given up is replaced.
pub(crate) fn plan(
    seen: &Snapshot,
    nodes: &[NodeName],
    conditions: &Conditions,
    at_unix_ms: u64,
    by: &str,
) -> Recorded {
    let id = crate::requests::fresh_id(seen);
    let mut txn = Txn::new();
    for node in nodes {
        let there = seen.get::<PlannedRestart>(&restarts(node)).map_err(unavailable)?;
        if let Some((other, _)) = there.as_ref().filter(|(other, _)| other.given_up.is_none()) {
            let what = format!("a restart of `{node}` is planned already, by {}", other.by);
            return Err(Refusal::new(what).hint(format!("howdah restart {node} --cancel")));
        }
        let plan = PlannedRestart {
            id: id.clone(),
            conditions: conditions.clone(),
            by: by.to_owned(),
            at_unix_ms,
            begun_unix_ms: None,
            started_unix_ms: None,
            given_up: None,
        };
        let revision = there.map(|(_, revision)| revision);
        txn = txn.as_seen(restarts(node), revision).put(restarts(node), &plan);
    }
    let listed = nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
    Ok(Record { txn, done: Done::Now(format!("a restart is planned for {listed}")) })
}

/// Drops what is planned for this node, also one that waits to be carried out; else the restart
/// that it was ordered to do at once.
pub(crate) fn cancel(seen: &Snapshot, node: &NodeName) -> Recorded {
    let plan = seen.get::<PlannedRestart>(&restarts(node)).map_err(unavailable)?;
    let orders = format!("{}{node}", key::ORDERS);
    let order = seen.get::<Order>(&orders).map_err(unavailable)?;
    let order = order.filter(|(order, _)| matches!(order.kind, OrderKind::Restart { .. }));
    let same = |order: &Order| plan.as_ref().is_none_or(|(plan, _)| plan.id == order.id);
    let order = order.filter(|(order, _)| same(order));
    if plan.is_none() && order.is_none() {
        let what = format!("no restart is planned for `{node}`");
        return Err(Refusal::new(what).class(RefusalClass::Absent));
    }
    let mut txn = Txn::new();
    if let Some((_, revision)) = &plan {
        txn = txn.at(restarts(node), *revision).delete(restarts(node));
    }
    if let Some((_, revision)) = order {
        txn = txn.at(&*orders, revision).delete(&*orders);
    }
    Ok(Record { txn, done: Done::Now(format!("the restart of `{node}` is dropped")) })
}

/// A restart at once settles one that was given up.
pub(crate) fn settled(seen: &Snapshot, node: &NodeName, txn: Txn) -> Result<Txn, Refusal> {
    let there = seen.get::<PlannedRestart>(&restarts(node)).map_err(unavailable)?;
    let given_up = there.filter(|(plan, _)| plan.given_up.is_some());
    Ok(match given_up {
        Some((_, revision)) => txn.at(restarts(node), revision).delete(restarts(node)),
        None => txn,
    })
}

pub(crate) mod round;

#[cfg(test)]
mod tests;
