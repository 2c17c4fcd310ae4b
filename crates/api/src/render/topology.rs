//! `howdah topology`: who streams from whom.

use std::fmt::Write;

use howdah_base::NodeName;
use howdah_base::status::{ClusterStatus, NodeStatus};

use super::words::{lag, role, state};

/// A tree below the leader; who streams from nobody stands at the margin.
pub fn topology(status: &ClusterStatus) -> String {
    let mut text = String::new();
    let roots = status.nodes.iter().filter(|node| upstream(status, node).is_none());
    let (leaders, others): (Vec<_>, Vec<_>) =
        roots.partition(|node| status.leader.as_ref() == Some(&node.node));
    for root in leaders.into_iter().chain(others) {
        branch(&mut text, status, root, "", "");
    }
    text
}

/// Each line: what leads to it, the node, and what it is. A node streams from one other at most,
/// so this ends where the tree does; a circle has no root and is not drawn.
fn branch(text: &mut String, status: &ClusterStatus, node: &NodeStatus, own: &str, below: &str) {
    let what = match (role(node), state(node)) {
        ("-", state) => state.to_owned(),
        (role, state) => format!("{role}, {state}"),
    };
    let behind = match lag(node).as_str() {
        "-" => String::new(),
        lag => format!(", {lag} behind"),
    };
    // Writing to a string does not fail.
    let _ = writeln!(text, "{own}{}  {what}{behind}", node.node);
    let downstream: Vec<&NodeStatus> =
        status.nodes.iter().filter(|other| upstream(status, other) == Some(&node.node)).collect();
    for (number, other) in downstream.iter().enumerate() {
        let last = number + 1 == downstream.len();
        let (own, next) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        branch(text, status, other, &format!("{below}{own}"), &format!("{below}{next}"));
    }
}

/// Whom it streams from, when that is a node of this cluster and not itself.
fn upstream<'s>(status: &'s ClusterStatus, node: &'s NodeStatus) -> Option<&'s NodeName> {
    let upstream = node.member.as_ref()?.streaming_from.as_ref()?;
    let known = status.nodes.iter().any(|other| other.node == *upstream);
    (known && *upstream != node.node).then_some(upstream)
}
