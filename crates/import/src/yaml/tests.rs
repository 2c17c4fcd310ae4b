//! Trees of YAML: lines, old truths, merges, and bounds.

use super::*;

fn one(text: &str) -> Node {
    document(text).expect("YAML").expect("a document")
}

#[test]
fn leaves_know_their_way_and_line() {
    let node = one(
        "scope: shop\npostgresql:\n  parameters:\n    hot_standby: on\n  pg_hba:\n  - a\n  - b\n  tags: {}\n",
    );
    let said: Vec<_> =
        node.leaves().iter().map(|leaf| format!("{} {}", leaf.path, leaf.node.line)).collect();
    let wanted = [
        "scope 1",
        "postgresql.parameters.hot_standby 4",
        "postgresql.pg_hba.0 6",
        "postgresql.pg_hba.1 7",
        "postgresql.tags 8",
    ];
    assert_eq!(said, wanted);
    assert_eq!(
        node.at(&["postgresql", "parameters", "hot_standby"]).and_then(Node::truth),
        Some(true)
    );
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    let node = one("ttl: 30\nttl: 60\n");
    assert_eq!(node.get("ttl").and_then(Node::number), Some(60));
    assert_eq!(node.leaves().len(), 2);
}

#[test]
fn nothing_is_nothing_and_a_quoted_nothing_is_text() {
    let node = one("a:\nb: ~\nc: \"\"\nd: 'null'\n");
    let text = |key| node.get(key).and_then(Node::text);
    assert_eq!((text("a"), text("b"), text("c"), text("d")), (None, None, Some(""), Some("null")));
}

#[test]
fn merges_give_way_to_own_keys() {
    let node = one("base: &b {ttl: 30, loop_wait: 10}\ndcs:\n  <<: *b\n  ttl: 60\n");
    let dcs = node.get("dcs").expect("dcs");
    assert_eq!(dcs.get("ttl").and_then(Node::number), Some(60));
    assert_eq!(dcs.get("loop_wait").and_then(Node::number), Some(10));
}

#[test]
fn several_documents_are_several() {
    let all = documents("---\na: 1\n---\n# nothing\n---\nb: 2\n").expect("YAML");
    assert_eq!(all.len(), 2);
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (from, to) in ["ab", "bc", "cd", "de", "ef", "fg"].map(|p| p.split_at(1)) {
        text += &format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 10].join(","));
    }
    let bad = documents(&text).expect_err("too much");
    assert_eq!(bad.what, "more than 100000 values");
}

#[test]
fn a_tower_of_lists_is_refused() {
    let bad = documents(&"[".repeat(100)).expect_err("too deep");
    assert_eq!(bad.what, "more than 64 levels");
    assert!(documents(&"[".repeat(100_000)).is_err());
    assert!(documents(&"- ".repeat(100_000)).is_err());
}
