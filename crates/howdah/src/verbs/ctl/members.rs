//! The cluster's members as patronictl tables them.

use std::collections::BTreeSet;

use howdah_base::status::ClusterStatus;
use serde_json::{Value, json};

use crate::output::{Format, Table};
use crate::yaml::yaml;

/// The table of `list`. Source: `output_members` of `patroni/ctl.py`.
pub fn table(status: &ClusterStatus, extended: bool, format: Format) -> Table {
    let cluster = howdah_api::patroni::cluster(status);
    let members: Vec<&Value> = cluster["members"].as_array().into_iter().flatten().collect();
    rows(status.cluster.as_str(), &members, extended, format)
}

/// The same as a tree: who streams from whom.
pub fn topology(status: &ClusterStatus) -> Table {
    let cluster = howdah_api::patroni::cluster(status);
    let mut members: Vec<Value> = cluster["members"].as_array().cloned().unwrap_or_default();
    members.sort_by_key(|member| member["role"] != "leader");
    let mut sorted = Vec::new();
    let (leaders, others): (Vec<Value>, Vec<Value>) =
        members.into_iter().partition(|member| member["role"] == "leader");
    for leader in leaders {
        sorted.push(leader.clone());
        below(&mut sorted, &others, &leader["name"], &leader["name"], 1);
    }
    let members: Vec<&Value> = sorted.iter().collect();
    rows(status.cluster.as_str(), &members, false, Format::Pretty)
}

/// Members whose upstream is `parent`. Deeper than there are members is a circle.
fn below(sorted: &mut Vec<Value>, all: &[Value], parent: &Value, leader: &Value, level: usize) {
    let upstream = |member: &Value| {
        let named = &member["tags"]["replicatefrom"];
        let known = *named != member["name"] && all.iter().any(|other| other["name"] == *named);
        if known { named.clone() } else { leader.clone() }
    };
    for member in all.iter().filter(|member| upstream(member) == *parent) {
        let mut shown = member.clone();
        let name = member["name"].as_str().unwrap_or("");
        shown["name"] = json!(format!("{}+ {name}", "  ".repeat(level - 1)));
        sorted.push(shown);
        if level <= all.len() {
            below(sorted, all, &member["name"], leader, level + 1);
        }
    }
}

/// Maintenance mode and what is scheduled, as patronictl says it below the table.
pub fn service_info(status: &ClusterStatus) -> String {
    let cluster = howdah_api::patroni::cluster(status);
    let mut text = String::new();
    if cluster["pause"] == true {
        text += " Maintenance mode: on\n";
    }
    if let Some(planned) = cluster["scheduled_switchover"].as_object() {
        let word = |name: &str| planned.get(name).and_then(Value::as_str);
        text += &format!(" Switchover scheduled at: {}\n", word("at").unwrap_or(""));
        for name in ["from", "to"] {
            if let Some(node) = word(name) {
                text += &format!("{name:>24}: {node}\n");
            }
        }
    }
    text
}

const COLUMNS: [&str; 7] = ["Cluster", "Member", "Host", "Role", "State", "TL", "Lag in MB"];
/// Shown when they say something, or with `--extended`.
const MORE: [(&str, &str); 3] = [
    ("Pending restart", "pending_restart"),
    ("Scheduled restart", "scheduled_restart"),
    ("Tags", "tags"),
];

fn rows(cluster: &str, members: &[&Value], extended: bool, format: Format) -> Table {
    let more: Vec<&(&str, &str)> = MORE
        .iter()
        .filter(|(_, key)| extended || members.iter().any(|member| !member[key].is_null()))
        .collect();
    // A port is worth telling when it is not the usual one, or tells two members apart.
    let hosts: BTreeSet<&str> = members.iter().filter_map(|m| m["host"].as_str()).collect();
    let ports = members.iter().any(|m| m["port"] != 5432) || hosts.len() < members.len();
    let of = |member: &&Value| -> Vec<Value> {
        let mut row = vec![
            json!(cluster),
            member["name"].clone(),
            json!(host(member, ports)),
            json!(titled(member["role"].as_str().unwrap_or(""))),
            member["state"].clone(),
            member.get("timeline").cloned().unwrap_or(json!("")),
            lag(member),
        ];
        row.extend(more.iter().map(|(_, key)| field(member, key, format)));
        row
    };
    let columns = COLUMNS.iter().copied().chain(more.iter().map(|(name, _)| *name));
    let title = Some(format!("Cluster: {cluster}"));
    let rows = members.iter().map(of).collect();
    let table = Table {
        title,
        columns: columns.map(str::to_owned).collect(),
        rows,
        right: vec!["TL", "Lag in MB"],
    };
    if format == Format::Pretty { without_cluster(table) } else { table }
}

/// The title has its name already.
fn without_cluster(mut table: Table) -> Table {
    table.columns.remove(0);
    for row in &mut table.rows {
        row.remove(0);
    }
    table
}

fn host(member: &Value, ports: bool) -> String {
    let host = member["host"].as_str().unwrap_or("");
    if ports { format!("{host}:{}", member["port"]) } else { host.to_owned() }
}

/// `quorum_standby` as `Quorum Standby`.
fn titled(role: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    };
    role.split('_').map(word).collect::<Vec<_>>().join(" ")
}

fn lag(member: &Value) -> Value {
    match member.get("lag") {
        None => json!(""),
        Some(lag) => lag.as_u64().map_or(lag.clone(), |lag| json!((lag + (1 << 19)) >> 20)),
    }
}

fn field(member: &Value, key: &str, format: Format) -> Value {
    let people = matches!(format, Format::Pretty | Format::Tsv);
    match (key, member.get(key)) {
        (_, None) => json!(""),
        ("pending_restart", Some(_)) => json!("*"),
        ("scheduled_restart", Some(restart)) => {
            let mut text = restart["schedule"].as_str().unwrap_or("").to_owned();
            if let Some(version) = restart["postgres_version"].as_str() {
                text += &format!(" if version < {version}");
            }
            json!(text)
        }
        (_, Some(tags)) if !people => tags.clone(),
        (_, Some(tags)) if format == Format::Pretty => json!(yaml(tags).trim_end()),
        (_, Some(tags)) => {
            let flow = yaml(tags).trim_end().replace('\n', ", ");
            json!(format!("{{{flow}}}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> ClusterStatus {
        let position = |lsn: u64| {
            let at = howdah_base::Position {
                timeline: howdah_base::Timeline(2),
                lsn: howdah_base::Lsn(lsn),
            };
            serde_json::to_value(at).expect("JSON")
        };
        let node = |name: &str, port: u16, state: &str, lsn: u64, more: Value| {
            let mut member = json!({
                "node": name, "host": "127.0.0.1", "postgres_port": port, "peer_port": 1,
                "http_port": 2, "directory": null, "server": state, "position": null,
                "history": null, "replayed": null, "streaming_from": null,
                "replay_lag_ms": null, "report": null, "ended": null, "failover_priority": 1,
                "rule": 0, "reason": "", "at_unix_ms": 0, "version": null,
            });
            for (key, value) in more.as_object().expect("an object") {
                member[key] = value.clone();
            }
            json!({
                "node": name, "host": "127.0.0.1", "postgres_port": port, "http_port": 2,
                "state": state, "position": position(lsn), "lag_bytes": null, "lag_ms": null,
                "voter": name == "n2", "rule": 0, "reason": "", "not_promotable": null,
                "pending_restart": [], "problems": [], "alive": true, "member": member,
            })
        };
        let status = json!({
            "cluster": "demo", "seen_by": "n1", "durability": "quorum", "term": 4, "leader": "n1",
            "store": { "kind": "etcd", "reachable": true, "error": null },
            "nodes": [
                node("n1", 5433, "primary", 48 << 20, json!({})),
                node("n2", 5443, "streaming", 48 << 20, json!({ "zone": "a", "no_failover": true })),
                node("n3", 5453, "streaming", 16 << 20, json!({ "replicate_from": "n2" })),
            ],
            "endpoints": [], "nodes_spare": 1, "problems": [], "config_revision": 1, "history": [],
            "paused": { "by": "anna", "at_unix_ms": 0 },
            "planned": { "id": "2", "to": "n2", "at_unix_ms": 1_779_300_000_000_u64, "by": "a" },
        });
        serde_json::from_value(status).expect("a status")
    }

    #[test]
    fn the_list_looks_like_patronictls() {
        let pretty = table(&status(), false, Format::Pretty).print(Format::Pretty);
        let wanted = "\
+ Cluster: demo ----------+----------------+-----------+----+-----------+-------------------+
| Member | Host           | Role           | State     | TL | Lag in MB | Tags              |
+--------+----------------+----------------+-----------+----+-----------+-------------------+
| n1     | 127.0.0.1:5433 | Leader         | running   |  2 |           |                   |
+--------+----------------+----------------+-----------+----+-----------+-------------------+
| n2     | 127.0.0.1:5443 | Quorum Standby | streaming |  2 |         0 | nofailover: true  |
|        |                |                |           |    |           | zone: a           |
+--------+----------------+----------------+-----------+----+-----------+-------------------+
| n3     | 127.0.0.1:5453 | Replica        | streaming |  2 |        32 | replicatefrom: n2 |
+--------+----------------+----------------+-----------+----+-----------+-------------------+
";
        assert_eq!(pretty, wanted);
        let tsv = table(&status(), false, Format::Tsv).print(Format::Tsv);
        let line = "demo\tn2\t127.0.0.1:5443\tQuorum Standby\tstreaming\t2\t0\t\
                    {nofailover: true, zone: a}";
        assert_eq!(tsv.lines().nth(2), Some(line));
        let info = " Maintenance mode: on\n Switchover scheduled at: 2026-05-20T18:00:00+00:00\n\
                    \x20                   from: n1\n                      to: n2\n";
        assert_eq!(service_info(&status()), info);
    }

    #[test]
    fn a_tree_has_cascades() {
        let names: Vec<Value> =
            topology(&status()).rows.into_iter().map(|row| row[0].clone()).collect();
        assert_eq!(names, [json!("n1"), json!("+ n2"), json!("  + n3")]);
        let mut circle = status();
        let member = circle.nodes[1].member.as_mut().expect("a member");
        member.replicate_from = Some("n3".parse().expect("name"));
        assert_eq!(topology(&circle).rows.len(), 1, "a circle hangs from nobody");
    }
}
