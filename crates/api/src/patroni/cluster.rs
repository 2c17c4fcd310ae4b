//! `GET /cluster`: all members, as `cluster_as_json` of Patroni gives them.

use howdah_base::Lsn;
use howdah_base::status::{ClusterStatus, NodeStatus};
use serde_json::{Map, Value, json};

use super::{member_role, scheduled_restart, state_word, tags};
use crate::when;

/// The cluster in Patroni's shape. A node without a live record is no member there, and a
/// witness has no PostgreSQL that a client of Patroni could ask for.
pub fn cluster(status: &ClusterStatus) -> Value {
    let is_member = |node: &&NodeStatus| {
        node.alive && node.member.as_ref().is_none_or(|member| !member.witness)
    };
    let end = leader_end(status);
    let members: Vec<Value> =
        status.nodes.iter().filter(is_member).map(|node| member(status, node, end)).collect();
    let mut cluster = json!({ "members": members, "scope": status.cluster });
    if status.paused.is_some() {
        cluster["pause"] = Value::Bool(true);
    }
    if let Some(planned) = &status.planned {
        let mut switchover = json!({ "at": when::rfc3339(planned.at_unix_ms) });
        if let Some(from) = &status.leader {
            switchover["from"] = json!(from);
        }
        if let Some(to) = &planned.to {
            switchover["to"] = json!(to);
        }
        cluster["scheduled_switchover"] = switchover;
    }
    cluster
}

fn member(status: &ClusterStatus, node: &NodeStatus, end: Option<Lsn>) -> Value {
    let mut member = Map::new();
    let mut put = |name: &str, value: Value| member.insert(name.to_owned(), value);
    let role = member_role(status, node);
    put("name", json!(node.node));
    put("role", json!(role));
    put("state", json!(state(node, role)));
    put("api_url", json!(api_url(node)));
    put("host", json!(node.host));
    put("port", json!(node.postgres_port));
    if let Some(position) = node.position {
        put("timeline", json!(position.timeline));
    }
    if !node.pending_restart.is_empty() {
        put("pending_restart", Value::Bool(true));
    }
    if let Some(restart) = scheduled_restart(node) {
        put("scheduled_restart", restart);
    }
    if let Some(tags) = node.member.as_ref().map(tags).filter(|tags| !tags.is_empty()) {
        put("tags", Value::Object(tags));
    }
    if role != "leader" {
        let received = node.position.map(|position| position.lsn);
        let replayed = node.member.as_ref().and_then(|member| member.replayed).or(received);
        for (lsn_name, lag_name, lsn) in [
            ("receive_lsn", "receive_lag", received),
            ("replay_lsn", "replay_lag", replayed),
            ("lsn", "lag", replayed),
        ] {
            let known = lsn.zip(end).map(|(lsn, end)| json!(end.bytes_past(lsn)));
            put(lag_name, known.unwrap_or_else(unknown));
            put(lsn_name, lsn.map_or_else(unknown, |lsn| json!(lsn.to_string())));
        }
    }
    Value::Object(member)
}

/// Of a standby that runs, where its WAL comes from is its state.
fn state(node: &NodeStatus, role: &str) -> &'static str {
    use howdah_base::record::ServerState::{Standby, Streaming};
    match node.state {
        Streaming if role != "leader" => "streaming",
        Standby if role != "leader" => "in archive recovery",
        other => state_word(other),
    }
}

fn leader_end(status: &ClusterStatus) -> Option<Lsn> {
    let leader = status.leader.as_ref()?;
    let node = status.nodes.iter().find(|node| node.node == *leader)?;
    Some(node.position?.lsn)
}

fn api_url(node: &NodeStatus) -> String {
    let host = if node.host.contains(':') { format!("[{}]", node.host) } else { node.host.clone() };
    format!("http://{host}:{}/patroni", node.http_port)
}

fn unknown() -> Value {
    json!("unknown")
}
