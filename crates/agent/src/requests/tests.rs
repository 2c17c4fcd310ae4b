//! What is refused at once, and in which words.

use std::path::PathBuf;

use howdah_spec::Context;
use howdah_store::Entry;
use serde_json::{Value, json};

use super::*;

fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

fn seen(records: &[(&str, Value)]) -> Snapshot {
    let entry = |value: &Value| Entry { value: value.to_string(), revision: 7, lease: None };
    let entries = records.iter().map(|(key, value)| ((*key).to_owned(), entry(value)));
    Snapshot { revision: 9, entries: entries.collect() }
}

fn intent_of(kind: &Value, sealed: bool) -> (&'static str, Value) {
    ("intent", json!({ "id": "1", "kind": kind, "by": "anna", "sealed": sealed }))
}

fn planned() -> (&'static str, Value) {
    ("planned", json!({ "id": "2", "to": null, "at_unix_ms": 1, "by": "bob" }))
}

fn deleted(recorded: Recorded) -> Result<Vec<String>, (RefusalClass, String)> {
    let record = recorded.map_err(|refusal| (refusal.class, refusal.error))?;
    let ops = record.txn.ops.into_iter();
    Ok(ops
        .filter_map(|op| match op {
            howdah_store::Op::Delete { key } => Some(key),
            howdah_store::Op::Put { .. } => None,
        })
        .collect())
}

#[test]
fn only_a_switchover_is_given_up() {
    let switchover = json!({ "kind": "switchover", "to": "n2" });
    let failover = json!({ "kind": "failover", "to": "n2", "accept_loss": true });
    let abort = |records: &[(&str, Value)]| deleted(abort(&seen(records)));
    assert_eq!(abort(&[intent_of(&switchover, false)]), Ok(vec!["intent".to_owned()]));
    let both = [intent_of(&failover, false), planned()];
    assert_eq!(abort(&both), Ok(vec!["planned".to_owned()]), "the failover stays");

    let (class, words) = abort(&[intent_of(&failover, false)]).expect_err("no switchover");
    let wanted = "no switchover is planned or under way, but a failover to `n2` that may lose \
                  commits, asked for by anna: that is not given up";
    assert_eq!((class, &*words), (RefusalClass::Absent, wanted));
    let (class, words) = abort(&[intent_of(&switchover, true)]).expect_err("too late");
    assert!(class == RefusalClass::Conflict && words.contains("shut down already"), "{words}");
    let (class, words) = abort(&[]).expect_err("nothing");
    assert_eq!((class, &*words), (RefusalClass::Absent, "no switchover is planned or under way"));
}

#[test]
fn a_witness_is_not_fenced() {
    let text = r#"
        cluster = "demo"
        postgres = { version = 15 }
        store = { etcd = { managed = true } }
        [nodes.n1]
        host = "10.0.0.1"
        [nodes.n2]
        host = "10.0.0.2"
        [nodes.w1]
        host = "10.0.0.3"
        kind = "witness"
    "#;
    let context = Context { default_base: PathBuf::from("/b"), relative_to: PathBuf::from("/") };
    let (parsed, mistakes) = howdah_spec::parse_leniently("howdah.toml", text, &context);
    let fence = |node: &str| {
        fence(&parsed.spec, &seen(&[]), &name(node), "anna")
            .map_err(|refusal| (refusal.class, refusal.error))
    };
    let (class, words) = fence("w1").expect_err("a witness");
    let wanted = "`w1` is a witness: it has no PostgreSQL";
    assert_eq!((class, &*words), (RefusalClass::Precondition, wanted), "{mistakes:?}");
    assert!(fence("n2").is_ok());
    assert_eq!(fence("n9").expect_err("unknown").0, RefusalClass::Absent);
}

#[test]
fn what_is_in_the_way_is_named_in_plain_words() {
    let failover = json!({ "kind": "failover", "to": "n2", "accept_loss": false });
    let there = seen(&[intent_of(&failover, false)]);
    let words = intent(&there, IntentKind::Switchover { to: None }, "bob").expect_err("another");
    assert_eq!(words.error, "a failover to `n2` is under way, asked for by anna");

    let member = json!({
        "node": "n2", "host": "h", "postgres_port": 1, "peer_port": 2, "http_port": 3,
        "directory": null, "server": "streaming", "position": null, "history": null,
        "replayed": null, "streaming_from": null, "replay_lag_ms": null, "report": null,
        "ended": null, "rule": 1, "reason": "", "at_unix_ms": 1, "version": null,
    });
    let copy = json!({ "id": "1", "by": "anna", "kind": { "kind": "reinit", "from": null } });
    let there = seen(&[("members/n2", member), ("orders/n2", copy)]);
    let words = order(&there, &name("n2"), OrderKind::Reload, "bob").expect_err("another");
    assert_eq!(words.error, "`n2` has another order, a new copy, asked for by anna");
}
