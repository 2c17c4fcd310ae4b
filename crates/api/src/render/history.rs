//! `howdah history`: every change of the leader, and what it cost.

use howdah_base::record::{Change, ChangeKind};
use howdah_base::status::ClusterStatus;

use super::table::{cells, table};
use super::words::{NOTHING, moment};

/// Oldest first, so that the newest stands where the eye is.
pub fn history(status: &ClusterStatus) -> String {
    if status.history.is_empty() {
        return "nothing has happened yet\n".to_owned();
    }
    let head =
        ["WHEN (UTC)", "TERM", "TIMELINE", "KIND", "LEADER", "FROM", "BEGINS", "LOSS", "WHY"];
    let mut rows = vec![cells(head)];
    rows.extend(status.history.iter().map(line));
    table(&rows)
}

fn line(change: &Change) -> Vec<String> {
    vec![
        moment(change.at_unix_ms),
        change.term.to_string(),
        change.timeline.to_string(),
        kind(change.kind).to_owned(),
        change.leader.to_string(),
        change.from.as_ref().map_or(NOTHING.to_owned(), ToString::to_string),
        change.begins.lsn.to_string(),
        change.loss.clone(),
        format!("rule {}: {}", change.rule, change.reason),
    ]
}

fn kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Bootstrap => "bootstrap",
        ChangeKind::Restart => "restart",
        ChangeKind::Switchover => "switchover",
        ChangeKind::Handover => "handover",
        ChangeKind::Failover => "failover",
        ChangeKind::Forced => "forced failover",
    }
}
