//! `GET /patroni`, and the body of every health check: one node's server.

use howdah_base::record::ServerState;
use howdah_base::status::{ClusterStatus, NodeStatus};
use howdah_base::{Lsn, Tick};
use serde_json::{Map, Value, json};

use super::{CONTRACT, role_word, scheduled_restart, state_word, version_number};
use crate::{Health, when};

/// The answering node. `now`: the agent's clock; `unix_ms`: the wall clock.
pub fn node(status: &ClusterStatus, health: &Health, now: Tick, unix_ms: u64) -> Value {
    let own = status.nodes.iter().find(|node| node.node == status.seen_by);
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    let running = health.running();
    let member = own.and_then(|own| own.member.as_ref());
    let started = member.and_then(|member| member.started_unix_ms).filter(|_| running);
    let version = member.and_then(|member| version_number(member.version.as_deref()?));
    let truth = |is: bool| is.then_some(Value::Bool(true));
    put("state", Some(json!(state_word(health.state))));
    put("postmaster_start_time", started.map(|at| json!(postgresql_time(at))));
    put("role", Some(json!(role_word(health.state))));
    put("server_version", version.filter(|_| running).map(Value::from));
    put("xlog", running.then(|| xlog(health)));
    put("quorum_standby", truth(health.voter && running && role_word(health.state) == "replica"));
    put("timeline", health.position.filter(|_| running).map(|at| json!(at.timeline)));
    put("replication_state", health.replication_state().map(Value::from));
    let replicas = replication(status);
    put("replication", (running && !replicas.is_empty()).then_some(Value::Array(replicas)));
    put("pause", truth(health.paused));
    put("cluster_unlocked", truth(status.leader.is_none()));
    put("dcs_last_seen", Some(json!(store_seen(health, now, unix_ms))));
    put("tags", (!health.tags.is_empty()).then(|| Value::Object(health.tags.clone())));
    put("database_system_identifier", health.system_identifier.map(|id| json!(id.to_string())));
    put("pending_restart", truth(own.is_some_and(|own| !own.pending_restart.is_empty())));
    put("scheduled_restart", own.and_then(scheduled_restart));
    let name = json!({ "version": CONTRACT, "scope": status.cluster, "name": status.seen_by });
    put("patroni", Some(name));
    put("howdah", Some(howdah(status, health, now)));
    Value::Object(body)
}

/// What Patroni has no word for.
fn howdah(status: &ClusterStatus, health: &Health, now: Tick) -> Value {
    let age = u64::try_from(now.since(health.beat).as_millis()).unwrap_or(u64::MAX);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": health.state,
        "term": status.term,
        "leads": health.leads(now),
        "heartbeat_age_ms": age,
    })
}

fn xlog(health: &Health) -> Value {
    let end = health.position.map(|position| position.lsn);
    if role_word(health.state) == "primary" {
        return json!({ "location": bytes(end) });
    }
    json!({
        "received_location": bytes(end),
        "replayed_location": bytes(health.replayed.or(end)),
        // Not asked for: a check touches no SQL.
        "replayed_timestamp": null,
        "paused": false,
    })
}

fn bytes(lsn: Option<Lsn>) -> u64 {
    lsn.map_or(0, |lsn| lsn.0)
}

/// The standbys that stream from this node, as `pg_stat_replication` would tell of them.
fn replication(status: &ClusterStatus) -> Vec<Value> {
    let from_here = |node: &&NodeStatus| {
        let member = node.member.as_ref().filter(|_| node.state == ServerState::Streaming);
        member.and_then(|member| member.streaming_from.as_ref()) == Some(&status.seen_by)
    };
    let row = |node: &NodeStatus| {
        json!({
            "usename": "howdah_replicator",
            "application_name": node.node,
            "client_addr": node.host,
            "state": "streaming",
            "sync_state": if node.voter { "quorum" } else { "async" },
            "sync_priority": u8::from(node.voter),
        })
    };
    status.nodes.iter().filter(from_here).map(row).collect()
}

/// When the store answered last: seconds since 1970, 0 if never.
pub(super) fn store_seen(health: &Health, now: Tick, unix_ms: u64) -> u64 {
    health.store_seen.map_or(0, |seen| {
        let age = u64::try_from(now.since(seen).as_millis()).unwrap_or(u64::MAX);
        unix_ms.saturating_sub(age) / 1_000
    })
}

/// A time as PostgreSQL prints it: `2026-05-20 12:34:56+00:00`.
fn postgresql_time(unix_ms: u64) -> String {
    when::rfc3339(unix_ms).replacen('T', " ", 1)
}
