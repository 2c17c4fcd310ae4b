//! What can be said of a change of leader before it is asked for: by the status, which has the
//! agents' own judgement of each node. The agent judges once more when it acts.

use howdah_base::NodeName;
use howdah_base::ask::Refusal;
use howdah_base::status::{Check, ClusterStatus, NodeStatus, Verdict};

/// The leader is the one that the asker means; any is, when none is named.
pub fn is_leader(status: &ClusterStatus, meant: Option<&NodeName>) -> Result<(), Refusal> {
    match (meant, &status.leader) {
        (None, _) => Ok(()),
        (Some(meant), Some(now)) if meant == now => Ok(()),
        (Some(_), Some(now)) => Err(Refusal::new(format!("the leader is another node: `{now}`"))
            .hint("look at `howdah status`, then ask again")),
        (Some(_), None) => {
            Err(Refusal::new("there is no leader").hint("howdah explain, or howdah failover NODE"))
        }
    }
}

/// Whether the holder of the lease reports.
pub fn leader_lives(status: &ClusterStatus) -> bool {
    let leads = |node: &NodeStatus| status.leader.as_ref() == Some(&node.node) && node.alive;
    status.nodes.iter().any(leads)
}

/// `to` is a node of this cluster.
pub fn is_member<'s>(status: &'s ClusterStatus, to: &NodeName) -> Result<&'s NodeStatus, Refusal> {
    status.nodes.iter().find(|node| node.node == *to).ok_or_else(|| {
        let names: Vec<&str> = status.nodes.iter().map(|node| node.node.as_str()).collect();
        Refusal::new(format!("no such node: `{to}`"))
            .hint(format!("the nodes are {}", names.join(", ")))
    })
}

/// `to`, or any standby when none is named, can take over now: from the leader while it lives,
/// else without it. Which ones can.
pub fn can_take_over<'s>(
    status: &'s ClusterStatus,
    to: Option<&NodeName>,
) -> Result<Vec<&'s NodeStatus>, Refusal> {
    let leads = |node: &NodeStatus| status.leader.as_ref() == Some(&node.node);
    let why_not = |node: &NodeStatus| why_not(node, leader_lives(status));
    if let Some(to) = to {
        let node = is_member(status, to)?;
        if leads(node) {
            return Err(Refusal::new(format!("it leads already: `{to}`")));
        }
        return match why_not(node) {
            None => Ok(vec![node]),
            Some(why) => Err(Refusal::new(format!("`{to}` cannot take over: {why}"))
                .hint(format!("howdah explain {to}"))),
        };
    }
    let others: Vec<&NodeStatus> = status.nodes.iter().filter(|node| !leads(node)).collect();
    let fit: Vec<&NodeStatus> =
        others.iter().copied().filter(|node| why_not(node).is_none()).collect();
    if !fit.is_empty() {
        return Ok(fit);
    }
    let whys: Vec<String> = others
        .iter()
        .filter_map(|node| Some(format!("{}: {}", node.node, why_not(node)?)))
        .collect();
    let whys = if whys.is_empty() { "there is no other".to_owned() } else { whys.join("; ") };
    Err(Refusal::new(format!("no node can take over: {whys}")).hint("howdah explain"))
}

/// A switchover to `to`, or to the best standby, can be begun now: the one judgement of a request
/// over HTTP and of `howdah switchover --check`. Which nodes can take over.
///
/// # Errors
/// What prevents it, as the agents have found it.
pub fn can_switch_over<'s>(
    status: &'s ClusterStatus,
    to: Option<&NodeName>,
) -> Result<Vec<&'s NodeStatus>, Refusal> {
    if !leader_lives(status) {
        let refusal = Refusal::new("there is no leader that could hand over");
        return Err(refusal.hint("howdah failover NODE"));
    }
    // Who can take over is judged by the candidate that is meant; whether another request is under
    // way by the store itself, because the status may be a moment old.
    let elsewhere = |check: &Check| ["candidate", "request"].contains(&check.what.as_str());
    let prevents = |check: &&Check| check.verdict == Verdict::Prevents && !elsewhere(check);
    let whys: Vec<&str> =
        status.switchover.iter().filter(prevents).map(|check| &*check.said).collect();
    if !whys.is_empty() {
        return Err(Refusal::new(whys.join("; ")).hint("howdah switchover --check"));
    }
    can_take_over(status, to)
}

/// Another request is under way.
pub fn under_way(status: &ClusterStatus) -> Option<&Check> {
    let prevents = |check: &&Check| check.verdict == Verdict::Prevents && check.what == "request";
    status.switchover.iter().find(prevents)
}

fn why_not(node: &NodeStatus, leader_lives: bool) -> Option<String> {
    if !node.alive {
        return Some("it does not report".to_owned());
    }
    if node.fenced.is_some() {
        return Some("it is fenced".to_owned());
    }
    let why = if leader_lives { &node.not_switchable } else { &node.not_promotable };
    why.clone()
}
