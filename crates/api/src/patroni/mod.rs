//! The cluster in Patroni's words, for whoever has clients, checks and habits of it.
//!
//! ```text
//! ClusterStatus, Health --> GET /patroni (node) /cluster /history /metrics
//! ClusterSpec           --> GET /config          \  config: Patroni's dynamic configuration
//! PATCH, PUT /config    --> a new cluster file   /  and the cluster file, either way
//! ```
//!
//! Source: Patroni's documentation, "Patroni REST API" and "Dynamic Configuration Settings", and
//! its `patroni/utils.py::cluster_as_json`, `patroni/api.py`. Pure: values in, JSON or text out.

pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod history;
pub(crate) mod metrics;
pub(crate) mod node;

use howdah_base::record::{Member, ServerState};
use howdah_base::status::{ClusterStatus, NodeStatus};
use serde_json::{Map, Value, json};

use crate::when;

pub use cluster::cluster;
pub use config::{dynamic, merge_into as merge};

/// The version of Patroni whose answers these are. Clients look at it to know which states and
/// roles to expect (from 3.0.4 a standby is `streaming`, from 4.0 a primary is `primary`).
pub const CONTRACT: &str = "4.1.0";

/// A node's tags by Patroni's names; those that say what is so anyway are left out, as there.
pub fn tags(member: &Member) -> Map<String, Value> {
    let mut tags = Map::new();
    let flags = [
        ("nofailover", member.no_failover),
        ("noloadbalance", member.no_load_balance),
        ("clonefrom", member.clone_from),
        ("nosync", member.no_sync),
    ];
    for (name, _) in flags.iter().filter(|(_, set)| *set) {
        tags.insert((*name).to_owned(), Value::Bool(true));
    }
    if member.failover_priority != 1 {
        tags.insert("failover_priority".to_owned(), member.failover_priority.into());
    }
    if let Some(upstream) = &member.replicate_from {
        tags.insert("replicatefrom".to_owned(), json!(upstream));
    }
    if let Some(zone) = &member.zone {
        tags.insert("zone".to_owned(), json!(zone));
    }
    for (name, value) in &member.tags {
        // `true` is a truth and no text, as it would be in Patroni's file.
        let value = match value.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => json!(text),
        };
        tags.insert(name.clone(), value);
    }
    tags
}

/// `state` of a server.
pub(crate) fn state_word(state: ServerState) -> &'static str {
    match state {
        ServerState::Creating => "creating replica",
        ServerState::Stopped => "stopped",
        ServerState::Starting => "starting",
        ServerState::Stopping => "stopping",
        ServerState::Refused => "start failed",
        ServerState::Unknown => "unknown",
        _ => "running",
    }
}

/// `role` of a server, by what it is and not by who should lead.
pub(crate) fn role_word(state: ServerState) -> &'static str {
    match state {
        ServerState::Primary | ServerState::PrimaryGated => "primary",
        ServerState::Creating => "uninitialized",
        _ => "replica",
    }
}

/// `quorum_standby` where commits wait for any of the voters; as in Patroni, a standby that is
/// no voter is a `replica`.
pub(crate) fn member_role(status: &ClusterStatus, node: &NodeStatus) -> &'static str {
    if status.leader.as_ref() == Some(&node.node) {
        "leader"
    } else if node.voter {
        "quorum_standby"
    } else {
        "replica"
    }
}

/// The restart that is to come: `schedule` and its conditions.
pub(crate) fn scheduled_restart(node: &NodeStatus) -> Option<Value> {
    let restart = node.restart.as_ref().filter(|restart| restart.given_up.is_none())?;
    let conditions = &restart.conditions;
    let mut scheduled = json!({ "schedule": when::rfc3339(restart.at_unix_ms) });
    if conditions.pending {
        scheduled["restart_pending"] = Value::Bool(true);
    }
    if let Some(role) = &conditions.role {
        scheduled["role"] = json!(if role == "standby" { "replica" } else { role });
    }
    if let Some(version) = &conditions.older_than {
        scheduled["postgres_version"] = json!(version);
    }
    Some(scheduled)
}

/// `15.18` as PostgreSQL's `server_version_num`: 150018.
pub(crate) fn version_number(version: &str) -> Option<u32> {
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let digits = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
    Some(major.parse::<u32>().ok()? * 10_000 + minor[..digits].parse::<u32>().ok()?)
}

#[cfg(test)]
mod tests;
