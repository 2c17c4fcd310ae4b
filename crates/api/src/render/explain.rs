//! `howdah explain`: why things are as they are.

use std::fmt::{self, Write};

use howdah_base::record::Member;
use howdah_base::status::{ClusterStatus, NodeStatus};

use super::words::{role, state};

/// Each node's last decision by its number and sentence, and why it cannot be promoted.
pub fn explain(status: &ClusterStatus) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_all(&mut text, status);
    text
}

fn write_all(text: &mut String, status: &ClusterStatus) -> fmt::Result {
    writeln!(
        text,
        "cluster {}, term {}, as {} sees it",
        status.cluster, status.term, status.seen_by
    )?;
    for node in &status.nodes {
        writeln!(text)?;
        writeln!(text, "{}", title(node))?;
        if node.rule != 0 || !node.reason.is_empty() {
            writeln!(text, "  rule {}: {}", node.rule, node.reason)?;
        }
        if status.leader.as_ref() == Some(&node.node) {
            writeln!(text, "  holds the lease")?;
        }
        if let Some(sentence) = promotable(node) {
            writeln!(text, "  {sentence}")?;
        }
        if let Some(member) = &node.member {
            write_member(text, member)?;
        }
        for problem in &node.problems {
            writeln!(text, "  problem: {problem}")?;
        }
    }
    Ok(())
}

fn title(node: &NodeStatus) -> String {
    match (role(node), state(node)) {
        ("-", state) => format!("{}: {state}", node.node),
        (role, state) => format!("{}: {role}, {state}", node.node),
    }
}

fn promotable(node: &NodeStatus) -> Option<String> {
    match &node.not_promotable {
        Some(why) => Some(format!("cannot be promoted: {why}")),
        None if role(node) == "standby" => Some("can be promoted".to_owned()),
        None => None,
    }
}

fn write_member(text: &mut String, member: &Member) -> fmt::Result {
    if let Some(directory) = &member.directory {
        writeln!(text, "  directory {directory}")?;
    }
    if let Some(position) = member.position {
        writeln!(text, "  WAL ends at {position}")?;
    }
    if let Some(replayed) = member.replayed {
        writeln!(text, "  replayed to {replayed}")?;
    }
    if let Some(upstream) = &member.streaming_from {
        writeln!(text, "  streams from {upstream}")?;
    }
    if let Some(ended) = &member.ended {
        let how = if ended.clean { "cleanly" } else { "by a crash" };
        writeln!(text, "  its server of term {} ended {how} at {}", ended.term, ended.end)?;
    }
    if let Some(report) = &member.report {
        writeln!(text, "  after term {} its WAL ends at {}", report.term, report.position)?;
    }
    Ok(())
}
