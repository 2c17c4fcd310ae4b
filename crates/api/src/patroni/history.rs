//! `GET /history`: the timelines that have ended, and where.

use howdah_base::Timeline;
use howdah_base::status::ClusterStatus;
use serde_json::{Value, json};

use crate::when;

/// `[[timeline, end, reason, when, new leader], ...]`, oldest first. A change of leader that
/// began no timeline (a restart in place) is in Howdah's own history only.
pub fn history(status: &ClusterStatus) -> Value {
    let mut before: Option<Timeline> = None;
    let mut lines = Vec::new();
    for change in &status.history {
        // The list is cut at its old end: there the timeline before is the one before.
        let ended = before.unwrap_or(Timeline(change.timeline.0.saturating_sub(1)));
        if change.timeline > ended && ended.0 > 0 {
            lines.push(json!([
                ended,
                change.begins.lsn.0,
                change.reason,
                when::rfc3339(change.at_unix_ms),
                change.leader,
            ]));
        }
        before = Some(change.timeline);
    }
    Value::Array(lines)
}
