//! Patroni's words in, a cluster file out, and back.

use std::sync::Arc;

use super::*;

const FILE: &str = r#"# Our shop.
cluster = "shop"
durability = "quorum" # money
strict = false
base_dir = "/var/lib/howdah/shop"

[nodes.n1]
[nodes.n2]
[nodes.n3]

[ha]
# A short lease.
lease = "6s"   # seconds
renew = "1s"

[postgresql.parameters]
# Tried in May.
work_mem = "16MB"
max_connections = 200
"#;

fn file(text: &str) -> FileInForce {
    let spec = read(text).expect("valid");
    FileInForce { revision: 7, text: text.to_owned(), spec: Arc::new(spec) }
}

fn map(value: Value) -> Map<String, Value> {
    object(value)
}

/// The lines that a PATCH changes.
fn patched(request: Value) -> (Vec<String>, Change) {
    let change = patch(&file(FILE), false, &map(request)).expect("possible");
    let text = match change.asks.first() {
        Some(Ask::Apply { text, revision: Some(7) }) => text.clone(),
        _ => FILE.to_owned(),
    };
    let gone = FILE.lines().filter(|line| !text.lines().any(|other| other == *line));
    let come = text.lines().filter(|line| !FILE.lines().any(|other| other == *line));
    let lines = gone.map(|line| format!("- {line}")).chain(come.map(|line| format!("+ {line}")));
    (lines.collect(), change)
}

fn refused(request: Value) -> Refusal {
    patch(&file(FILE), false, &map(request)).expect_err("refused")
}

#[test]
fn the_file_is_shown_in_patronis_words() {
    let shown = dynamic(&file(FILE).spec, true);
    assert_eq!(shown["ttl"], 6);
    assert_eq!(shown["loop_wait"], 1);
    assert_eq!(shown["retry_timeout"], 2);
    assert_eq!(shown["maximum_lag_on_failover"], 1_048_576);
    assert_eq!(shown["synchronous_mode"], "quorum");
    assert_eq!(shown["synchronous_mode_strict"], false);
    assert_eq!(shown["pause"], true);
    let parameters = json!({ "max_connections": 200, "work_mem": "16MB" });
    assert_eq!(shown["postgresql"]["parameters"], parameters);
    assert_eq!(shown["postgresql"]["use_pg_rewind"], true);
    assert!(dynamic(&file(FILE).spec, false).get("pause").is_none());
}

#[test]
fn a_patch_changes_its_own_lines_and_nothing_else() {
    let (lines, change) = patched(json!({
        "ttl": 30, "loop_wait": 10, "retry_timeout": 10, "maximum_lag_on_failover": 33554432,
        "synchronous_mode": false,
        "postgresql": { "parameters": { "work_mem": "8MB", "max_connections": null, "jit": "off" } },
    }));
    assert_eq!(
        lines,
        [
            r#"- durability = "quorum" # money"#,
            r#"- lease = "6s"   # seconds"#,
            r#"- renew = "1s""#,
            r#"- work_mem = "16MB""#,
            "- max_connections = 200",
            r#"+ durability = "async" # money"#,
            r#"+ lease = "30s"   # seconds"#,
            r#"+ renew = "10s""#,
            r#"+ max_lag_on_failover = "32MB""#,
            r#"+ work_mem = "8MB""#,
            r#"+ jit = "off""#,
        ]
    );
    assert_eq!(change.shown["ttl"], 30);
    assert_eq!(change.shown["synchronous_mode"], false);
    assert_eq!(
        change.shown["postgresql"]["parameters"],
        json!({ "jit": "off", "work_mem": "8MB" })
    );
}

#[test]
fn what_is_so_already_asks_for_nothing() {
    for request in [
        json!({ "ttl": 6 }),
        json!({ "synchronous_mode": true }),
        json!({ "synchronous_mode": "quorum", "synchronous_node_count": 1 }),
        json!({ "pause": false }),
        json!({ "pause": null }),
        json!({ "check_timeline": true, "failsafe_mode": false, "standby_cluster": null }),
        json!({ "postgresql": { "use_pg_rewind": true, "parameters": { "max_connections": "200" } } }),
    ] {
        let (lines, change) = patched(request.clone());
        assert!(lines.is_empty() && change.asks.is_empty(), "{request}: {lines:?} {change:?}");
    }
}

#[test]
fn a_pause_is_an_order_and_no_part_of_the_file() {
    let asks = |paused, request| patch(&file(FILE), paused, &map(request)).expect("possible").asks;
    assert_eq!(asks(false, json!({ "pause": true })), [Ask::Pause]);
    assert_eq!(asks(false, json!({ "pause": "on" })), [Ask::Pause]);
    assert_eq!(asks(true, json!({ "pause": false })), [Ask::Resume]);
    assert_eq!(asks(true, json!({ "pause": null })), [Ask::Resume]);
    assert_eq!(asks(true, json!({ "pause": true })), []);
    let both = asks(false, json!({ "pause": true, "synchronous_mode_strict": true }));
    assert!(matches!(&both[..], [Ask::Apply { .. }, Ask::Pause]), "{both:?}");
}

#[test]
fn a_put_leaves_nothing_of_what_it_does_not_say() {
    let request = json!({ "ttl": 12, "postgresql": { "parameters": { "jit": false } } });
    let change = replace(&file(FILE), true, &map(request)).expect("possible");
    let [Ask::Apply { text, .. }, Ask::Resume] = &change.asks[..] else { panic!("{change:?}") };
    assert!(!text.contains("work_mem") && !text.contains("renew"), "{text}");
    assert!(text.contains("lease = \"12s\"") && text.contains("jit = false"), "{text}");
    assert_eq!(change.shown["loop_wait"], 1, "its default");
}

#[test]
fn what_howdah_has_not_is_refused_with_what_it_does_instead() {
    for (name, value) in [
        ("retry_timeout", json!(5)),
        ("synchronous_node_count", json!(2)),
        ("failsafe_mode", json!(true)),
        ("check_timeline", json!(false)),
        ("standby_cluster", json!({ "host": "10.0.0.9" })),
        ("slots", json!({ "a": { "type": "physical" } })),
        ("primary_stop_timeout", json!(30)),
    ] {
        let refusal = refused(json!({ name: value }));
        assert_eq!(refusal.class, RefusalClass::Conflict, "{name}");
        assert!(refusal.error.starts_with(&format!("`{name}` cannot be")), "{}", refusal.error);
    }
    let refusal = refused(json!({ "postgresql": { "use_slots": false } }));
    assert_eq!(refusal.error, "`use_slots` cannot be `false` here: each standby has a slot");
}

#[test]
fn what_makes_no_sense_is_malformed() {
    for request in [
        json!({ "ttl": "soon" }),
        json!({ "ttl": -1 }),
        json!({ "ttl": {} }),
        json!({ "loop_wait": 5 }),
        json!({ "maximum_lag_on_failover": "1 parsec" }),
        json!({ "synchronous_mode": "sometimes" }),
        json!({ "pause": "maybe" }),
        json!({ "tll": 30 }),
        json!({ "postgresql": 5 }),
        json!({ "postgresql": { "pg_hba": "host all all all trust" } }),
        json!({ "postgresql": { "pg_hba": ["host all all all trust"] } }),
        json!({ "postgresql": { "parameters": { "work_mem": ["8MB"] } } }),
        json!({ "postgresql": { "parameters": { "port": 5432 } } }),
        json!({ "postgresql": { "parameters": [] } }),
    ] {
        let refusal = refused(request.clone());
        assert_eq!(refusal.class, RefusalClass::Malformed, "{request}: {refusal:?}");
    }
    let mistake = refused(json!({ "loop_wait": 5 }));
    assert!(mistake.error.contains("renew"), "says where: {}", mistake.error);
}

#[test]
fn the_rules_of_pg_hba_are_a_list_of_lines() {
    let rules = ["host all all 10.0.0.0/8 scram-sha-256", "host all all ::1/128 scram-sha-256"];
    let (lines, change) = patched(json!({ "postgresql": { "pg_hba": rules } }));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(change.shown["postgresql"]["pg_hba"], json!(rules));
}
