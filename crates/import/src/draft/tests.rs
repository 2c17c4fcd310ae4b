//! Claims that meet: who wins, who is told, and what the parser strikes out.

use super::*;

fn claim(draft: &mut Draft, source: usize, line: usize, key: &[&str], value: Value, rank: Rank) {
    let leaf = draft.leaves(source).add(&format!("{}@{line}", key.join(".")), line);
    draft.claim(Claim::new(Key::of(key), value, leaf, rank));
}

fn fates(draft: &Draft) -> Vec<String> {
    draft.findings().iter().map(ToString::to_string).collect()
}

#[test]
fn the_stronger_claim_counts_and_the_other_is_told() {
    let mut draft = Draft::default();
    let source = draft.open("a.conf");
    let key = ["postgresql", "parameters", "work_mem"];
    claim(&mut draft, source, 1, &key, Value::text("8MB"), Rank::System);
    claim(&mut draft, source, 2, &key, Value::text("4MB"), Rank::Conf);
    claim(&mut draft, source, 3, &key, Value::text("8MB"), Rank::Conf);
    let settled = draft.settle();
    assert!(
        settled.text.contains("work_mem = \"8MB\"  # a.conf:1, a.conf:3\n"),
        "{}",
        settled.text
    );
    let said = fates(&draft);
    assert!(said[0].ends_with("carried: postgresql.parameters.work_mem"), "{said:?}");
    assert!(
        said[1].ends_with("another value of `postgresql.parameters.work_mem` counts: a.conf:1")
    );
    assert!(said[2].ends_with("carried: postgresql.parameters.work_mem"), "{said:?}");
}

#[test]
fn what_the_parser_refuses_is_struck_out_and_told() {
    let mut draft = Draft::default();
    let source = draft.open("a.conf");
    claim(
        &mut draft,
        source,
        1,
        &["postgresql", "parameters", "fsync"],
        Value::text("off"),
        Rank::Conf,
    );
    claim(
        &mut draft,
        source,
        2,
        &["postgresql", "parameters", "fsync"],
        Value::text("on"),
        Rank::Guess,
    );
    claim(&mut draft, source, 3, &["roles", "postgres", "kind"], Value::text("app"), Rank::Conf);
    claim(
        &mut draft,
        source,
        4,
        &["roles", "app", "connection_limit"],
        Value::Number(5),
        Rank::Conf,
    );
    let settled = draft.settle();
    assert_eq!(settled.mistakes.0, []);
    // The next best value takes the place.
    assert!(settled.text.contains("fsync = \"on\""), "{}", settled.text);
    assert!(!settled.text.contains("roles"), "{}", settled.text);
    let said = fates(&draft);
    assert!(said[0].contains("not carried: a crash could destroy the data directory"), "{said:?}");
    assert!(said[2].contains("not carried: a reserved role name"), "{said:?}");
    assert!(said[3].contains("not carried: the role has no kind"), "{said:?}");
}

#[test]
fn a_node_without_a_name_is_the_only_one_there_is() {
    let mut draft = Draft::default();
    let source = draft.open("a.conf");
    claim(&mut draft, source, 1, &["nodes", "*", "postgres_port"], Value::Number(5432), Rank::Conf);
    assert!(draft.settle().text.contains("[nodes.n1]\npostgres_port = 5432  # a.conf:1\n"));
    claim(&mut draft, source, 2, &["nodes", "a", "http_port"], Value::Number(8008), Rank::Conf);
    claim(&mut draft, source, 3, &["nodes", "*", "rw_port"], Value::Number(7000), Rank::Conf);
    draft.settle();
    assert!(fates(&draft)[2].contains("which node is meant?"));
}

#[test]
fn nodes_of_several_machines_listen_and_share_a_store() {
    let mut draft = Draft::default();
    let source = draft.open("a.yml");
    for (line, host) in [(1, "10.0.0.1"), (2, "db2.example.com")] {
        let name = format!("n{line}");
        claim(&mut draft, source, line, &["nodes", &name, "host"], Value::text(host), Rank::Local);
    }
    let settled = draft.settle();
    assert_eq!(settled.mistakes.0, []);
    for part in [
        "listen = [\"10.0.0.1\", \"127.0.0.1\"]  # so that",
        "listen = [\"0.0.0.0\"]",
        "[store.etcd]\nmanaged = true",
    ] {
        assert!(settled.text.contains(part), "{}", settled.text);
    }
}

#[test]
fn a_leaf_that_nobody_tells_of_is_unknown() {
    let mut draft = Draft::default();
    let source = draft.open("a.yml");
    draft.leaves(source).add("frobnicate", 7);
    assert_eq!(fates(&draft), ["a.yml:7: frobnicate: unknown"]);
}

#[test]
fn no_name_breaks_out_of_its_comment() {
    let mut draft = Draft::default();
    let source = draft.open("a\nstrict = true\n.conf");
    claim(&mut draft, source, 1, &["durability"], Value::text("async"), Rank::Conf);
    let settled = draft.settle();
    assert_eq!(settled.mistakes.0, []);
    assert!(!settled.text.contains("\nstrict"), "{}", settled.text);
}
