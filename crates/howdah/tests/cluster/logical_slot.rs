//! A user's logical replication slot is on every standby, moves forward with its consumer, and
//! after a failover gives the changes that the consumer has not had yet, and no others.

use std::time::Duration;

use howdah_testkit::{Cluster, Node};

use crate::{TAKEOVER_WITHIN, three};

const SOON: Duration = Duration::from_secs(60);
const FIND: &str = "SELECT slot_type FROM pg_replication_slots WHERE slot_name = 'feed'";
const READ: &str = "SELECT count(*) FROM pg_logical_slot_get_changes('feed', NULL, NULL) \
                    WHERE data LIKE 'table public.t:%'";
const CONFIRMED: &str =
    "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'feed'";

/// Since 17 PostgreSQL itself keeps slots on standbys, those that are declared to be kept.
fn kept_by_postgresql(node: &Node) -> bool {
    let version = node.sql("SHOW server_version_num").expect("asked");
    version.parse::<u32>().expect("a number") >= 170_000
}

/// PostgreSQL's copy is good once the consumer is past what the standby had when it began to
/// copy: a consumer that goes on is needed for that.
fn consume_until_kept(cluster: &Cluster, primary: &Node) {
    let kept = "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = 'feed'";
    for standby in cluster.standbys() {
        cluster.wait_for("the standby's copy is good", SOON, || {
            primary.sql("SELECT pg_log_standby_snapshot()").ok()?;
            primary.sql_in("app", READ).ok()?;
            (standby.sql(kept).ok()? == "t").then_some(())
        });
    }
}

#[test]
fn users_logical_slot_survives_a_failover() {
    let cluster = three().parameter("wal_level", "logical").start();
    let old = cluster.primary();
    old.sql_in("app", "CREATE TABLE t (i int)").expect("made");
    let kept_by_postgresql = kept_by_postgresql(old);
    let declared = if kept_by_postgresql { ", failover => true" } else { "" };
    let make = "SELECT pg_create_logical_replication_slot('feed', 'test_decoding'";
    old.sql_in("app", &format!("{make}{declared})")).expect("made");
    old.sql_in("app", "INSERT INTO t SELECT generate_series(1, 5)").expect("written");
    for standby in cluster.standbys() {
        cluster.wait_for("the slot is on every standby", SOON, || {
            (standby.sql(FIND).ok()? == "logical").then_some(())
        });
    }
    cluster.wait_whole();
    assert_eq!(old.sql_in("app", READ).expect("read"), "5", "the consumer reads what there is");
    if kept_by_postgresql {
        consume_until_kept(&cluster, old);
    }
    let confirmed = old.sql(CONFIRMED).expect("asked");
    for standby in cluster.standbys() {
        cluster.wait_for("the standby's slot has moved as far", SOON, || {
            (standby.sql(CONFIRMED).ok()? == confirmed).then_some(())
        });
    }
    old.sql_in("app", "INSERT INTO t SELECT generate_series(6, 13)").expect("written");

    old.kill9_everything();
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    cluster.wait_for("the consumer goes on where it was", SOON, || {
        (new.sql_in("app", READ).ok()? == "8").then_some(())
    });

    new.sql("SELECT pg_drop_replication_slot('feed')").expect("dropped");
    old.start();
    cluster.wait_whole();
    for node in cluster.nodes() {
        cluster.wait_for("a slot that was dropped is dropped everywhere", SOON, || {
            node.sql(FIND).ok()?.is_empty().then_some(())
        });
    }
}
