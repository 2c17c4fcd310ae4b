//! Golden answers in Patroni's shape. After a change of shape run with `HOWDAH_BLESS=1` and read
//! the diff.

use std::path::Path;

use howdah_base::{Lsn, Position, Tick, Timeline};

use super::*;
use crate::Health;

/// n1 leads; n2 is a voter that waits for a restart; n3 is behind, cascades and lends no reads.
/// A witness and a node that is gone are no members.
fn cluster_of_three() -> ClusterStatus {
    let member = |name: &str, more: Value| {
        let mut member = json!({
            "node": name, "host": "10.0.0.1", "postgres_port": 5433, "peer_port": 7433,
            "http_port": 8008, "directory": null, "server": "streaming", "position": null,
            "history": null, "replayed": "0/5000100", "streaming_from": "n1",
            "replay_lag_ms": null, "report": null, "ended": null, "failover_priority": 1,
            "rule": 0, "reason": "", "at_unix_ms": 0, "version": "15.18",
            "started_unix_ms": 1_779_280_000_500_u64,
        });
        for (key, value) in more.as_object().expect("an object") {
            member[key] = value.clone();
        }
        member
    };
    let node = |name: &str, lsn: u64, voter: bool, state: &str, member: Value| {
        json!({
            "node": name, "host": "10.0.0.1", "postgres_port": 5433, "http_port": 8008,
            "state": state, "position": position(lsn), "lag_bytes": null, "lag_ms": null,
            "voter": voter, "rule": 0, "reason": "", "not_promotable": null,
            "pending_restart": [], "problems": [], "alive": true, "member": member,
        })
    };
    let leader = member("n1", json!({ "replayed": null, "streaming_from": null }));
    let second = member("n2", json!({ "zone": "a", "tags": { "rack": "7", "gold": "true" } }));
    let third = member(
        "n3",
        json!({
            "replayed": "0/4000000", "streaming_from": "n2", "no_load_balance": true,
            "no_failover": true, "no_sync": true, "clone_from": true, "replicate_from": "n2",
            "failover_priority": 0,
        }),
    );
    let witness = member("w1", json!({ "witness": true }));
    let mut nodes = vec![
        node("n1", 0x500_0148, false, "primary", leader),
        node("n2", 0x500_0148, true, "streaming", second),
        node("n3", 0x400_0000, false, "standby", third),
        node("w1", 0, false, "unknown", witness),
        node("n4", 0, false, "unknown", Value::Null),
    ];
    nodes[1]["pending_restart"] = json!(["max_connections"]);
    nodes[1]["restart"] = json!({
        "id": "1", "by": "anna", "at_unix_ms": 1_779_300_000_000_u64,
        "conditions": { "pending": true, "role": "standby" },
    });
    nodes[4]["alive"] = json!(false);
    let status = json!({
        "cluster": "demo", "seen_by": "n1", "durability": "quorum", "term": 4, "leader": "n1",
        "store": { "kind": "etcd", "reachable": true, "error": null }, "nodes": nodes,
        "endpoints": [], "nodes_spare": 1, "problems": [], "config_revision": 1,
        "history": [
            change(1, 1, "n3", "nobody has started the cluster yet"),
            change(2, 1, "n3", "its server was restarted in place"),
            change(3, 2, "n2", "the host of n3 is lost"),
            change(4, 3, "n1", "asked for by anna"),
        ],
        "paused": { "by": "anna", "at_unix_ms": 0 },
        "planned": { "id": "2", "to": "n2", "at_unix_ms": 1_779_300_000_000_u64, "by": "anna" },
    });
    serde_json::from_value(status).expect("a status")
}

fn position(lsn: u64) -> Value {
    serde_json::to_value(Position { timeline: Timeline(3), lsn: Lsn(lsn) }).expect("JSON")
}

fn change(term: u64, timeline: u32, leader: &str, reason: &str) -> Value {
    json!({
        "at_unix_ms": 1_779_280_496_000_u64 + term * 1_000, "term": term, "timeline": timeline,
        "leader": leader, "from": null, "kind": "failover", "begins": position(term << 24),
        "rule": 1, "reason": reason, "loss": "none",
    })
}

fn health_of(status: &ClusterStatus, state: ServerState) -> Health {
    let own = status.nodes.iter().find(|node| node.node == status.seen_by).expect("own");
    let member = own.member.as_ref().expect("member");
    Health {
        state,
        leader_until: (state == ServerState::Primary).then_some(Tick(20_000)),
        position: own.position,
        replayed: member.replayed,
        leader_end: Some(Lsn(0x500_0148)),
        voter: own.voter,
        beat: Tick(9_500),
        system_identifier: Some(7_412_345_678_901_234_567),
        tags: tags(member),
        paused: status.paused.is_some(),
        store_seen: Some(Tick(9_000)),
        store_reachable: true,
    }
}

fn seen_by(name: &str) -> ClusterStatus {
    ClusterStatus { seen_by: name.parse().expect("name"), ..cluster_of_three() }
}

const NOW: Tick = Tick(10_000);
const UNIX_MS: u64 = 1_779_290_000_000;

fn node_of(status: &ClusterStatus, state: ServerState) -> Value {
    node::node(status, &health_of(status, state), NOW, UNIX_MS)
}

#[track_caller]
fn check(case: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/patroni/cases").join(case);
    if std::env::var_os("HOWDAH_BLESS").is_some() {
        std::fs::write(&path, seen).expect("write");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(seen, wanted, "{case} differs; HOWDAH_BLESS=1 accepts what is seen:\n{seen}");
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON") + "\n"
}

#[test]
fn the_cluster() {
    check("cluster.json", &pretty(&cluster(&cluster_of_three())));
    let mut alone = cluster_of_three();
    (alone.leader, alone.paused, alone.planned) = (None, None, None);
    alone.nodes.remove(0);
    check("cluster_without_leader.json", &pretty(&cluster(&alone)));
}

#[test]
fn one_node() {
    check("leader.json", &pretty(&node_of(&seen_by("n1"), ServerState::Primary)));
    check("voter.json", &pretty(&node_of(&seen_by("n2"), ServerState::Streaming)));
    check("standby.json", &pretty(&node_of(&seen_by("n3"), ServerState::Standby)));
    let mut status = seen_by("n2");
    (status.leader, status.paused) = (None, None);
    check("starting.json", &pretty(&node_of(&status, ServerState::Starting)));
}

#[test]
fn the_history_has_the_ends_of_timelines() {
    check("history.json", &pretty(&history::history(&cluster_of_three())));
}

#[test]
fn the_metrics() {
    let of = |name: &str, state| {
        let status = seen_by(name);
        metrics::metrics(&status, &health_of(&status, state), NOW, UNIX_MS)
    };
    check("leader.metrics.txt", &of("n1", ServerState::Primary));
    check("voter.metrics.txt", &of("n2", ServerState::Streaming));
    let mut status = seen_by("n1");
    let (bytes, since_unix_ms) = (Some(8_192), Some(UNIX_MS - 1_500));
    status.rpo = Some(howdah_base::commits::Rpo { bytes, since_unix_ms });
    let health = health_of(&status, ServerState::Primary);
    let behind = metrics::metrics(&status, &health, NOW, UNIX_MS);
    assert!(behind.contains("howdah_rpo_bytes{scope=\"demo\",name=\"n1\"} 8192\n"), "{behind}");
    assert!(behind.contains("howdah_rpo_seconds{scope=\"demo\",name=\"n1\"} 1.500\n"), "{behind}");
    let stopped = of("n2", ServerState::Stopped);
    assert!(stopped.contains("patroni_postgres_running{scope=\"demo\",name=\"n2\"} 0\n"));
    assert!(stopped.contains("patroni_replica{scope=\"demo\",name=\"n2\"} 0\n"), "{stopped}");
    assert!(stopped.contains("patroni_postgres_state{scope=\"demo\",name=\"n2\"} 12\n"));
}

#[test]
fn versions_are_numbers_as_postgresql_counts() {
    assert_eq!(version_number("15.18"), Some(150_018));
    assert_eq!(version_number("17beta1"), None);
    assert_eq!(version_number("16.4 (Debian 16.4-1)"), Some(160_004));
    assert_eq!(version_number("18"), Some(180_000));
}
