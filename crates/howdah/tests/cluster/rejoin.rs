//! A dead primary comes back: as a standby at once when its WAL is the others' WAL, by
//! pg_rewind when it has WAL that nobody else has.

use std::fs;

use howdah_testkit::{Cluster, Node, writer};

use crate::{TAKEOVER_WITHIN, three};

#[test]
pub fn old_primary_without_wal_of_its_own_follows_at_once() {
    let cluster = three().start();
    let old = cluster.primary();
    let directory = directory_id(old);
    writer::query(&cluster.plan(), "CREATE TABLE kept AS SELECT 1").expect("written");
    old.kill9_everything();
    cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    old.start();
    cluster.wait_whole();
    assert_eq!(directory_id(old), directory, "the same directory, not a new copy");
    assert_eq!(old.sql_in("app", "SELECT count(*) FROM kept").expect("a standby"), "1");
}

#[test]
pub fn old_primary_with_wal_that_nobody_else_has_is_rewound() {
    let cluster = three().asynchronous().set("ha", "max_lag_on_failover", "\"64MB\"").start();
    let old = cluster.primary();
    writer::query(&cluster.plan(), "CREATE TABLE kept AS SELECT 1").expect("written");
    for standby in cluster.standbys() {
        // Nobody has waited for it.
        cluster.wait_for("it is on every standby", TAKEOVER_WITHIN, || {
            (standby.sql_in("app", "SELECT count(*) FROM kept").ok()? == "1").then_some(())
        });
    }
    leave_alone(&cluster, old);
    old.sql_in("app", "CREATE TABLE lost AS SELECT g FROM generate_series(1, 1000) g")
        .expect("a primary that stands alone in async goes on");
    old.kill9_everything();
    let others: Vec<&Node> = cluster.nodes().iter().filter(|node| node.name != old.name).collect();
    for node in &others {
        node.start();
    }
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    new.sql_in("app", "CREATE TABLE other AS SELECT 1").expect("written");

    old.start();
    cluster.wait_whole();
    let tables = old.sql_in(
        "app",
        "SELECT string_agg(relname, ' ' ORDER BY relname) \
                                    FROM pg_class WHERE relname IN ('kept', 'lost', 'other')",
    );
    assert_eq!(tables.expect("a standby"), "kept other", "what only the dead node had is gone");
    let log = old.log_text();
    assert!(log.contains("rewind"), "rewound, not copied\n{}", old.log_tail(60));
}

/// Takes both standbys away, so that everything the primary writes from now on is its alone.
pub fn leave_alone(cluster: &Cluster, primary: &Node) {
    for node in cluster.nodes().iter().filter(|node| node.name != primary.name) {
        node.kill9_everything();
    }
}

fn directory_id(node: &Node) -> String {
    fs::read_to_string(node.data_dir.join("howdah.json")).expect("the directory's id")
}
