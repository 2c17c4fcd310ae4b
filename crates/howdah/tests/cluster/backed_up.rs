//! What happens to a standby while a backup is taken from it.

use std::process::Output;
use std::time::Duration;

use howdah_testkit::{Cluster, Node};

use crate::restored::restored;
use crate::{TAKEOVER_WITHIN, three};

const SOON: Duration = Duration::from_secs(30);

/// n1 leads, and n2 follows it in office.
fn started() -> Cluster {
    let cluster = three()
        .set("backup", "repository", "\"archive/shop\"")
        .set("nodes.n2.tags", "failover_priority", "10")
        .set("nodes.n3.tags", "no_failover", "true")
        .start();
    let leads = cluster.primary().name.clone();
    if leads != "n1" {
        cluster.howdah_ok(&["switchover", "--to", "n1"]);
        cluster.wait_for_other_primary(&leads, SOON);
    }
    cluster.wait_whole();
    cluster.primary().sql("create table t as select g from generate_series(1, 9000) g").expect("t");
    cluster
}

/// A backup from `node` that stands still while `meanwhile` happens.
fn backup(cluster: &Cluster, node: &Node, meanwhile: impl FnOnce()) -> Output {
    let arguments = ["backup", "--full", "--node", &node.name, "--max-rate", "6MB"];
    let backup = cluster.howdah_begun(&arguments);
    cluster.wait_for("the backup has begun", SOON, || {
        let sql = "select count(*) from pg_stat_activity where state = 'idle' \
                   and query ~ 'pg_backup_start' and pid <> pg_backend_pid()";
        (node.sql(sql).ok()?.trim() == "1").then_some(())
    });
    backup.freeze();
    meanwhile();
    backup.thaw();
    backup.end()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_standby_that_follows_a_failover_ends_its_backup_on_the_new_timeline() {
    let cluster = started();
    let mut timeline = String::new();
    let output = backup(&cluster, cluster.node("n3"), || {
        cluster.node("n1").kill9_everything();
        assert_eq!(cluster.wait_for_other_primary("n1", TAKEOVER_WITHIN).name, "n2");
        let primary = cluster.primary();
        primary.sql("insert into t select 1").expect("written");
        primary.sql("checkpoint").expect("a checkpoint of the new timeline");
        let sql = "select timeline_id from pg_control_checkpoint()";
        timeline = primary.sql(sql).expect("its timeline");
        cluster.wait_for("n3 is consistent only on the new timeline", SOON, || {
            let standby = cluster.node("n3");
            standby.sql("checkpoint").ok()?;
            let sql = "select min_recovery_end_timeline from pg_control_recovery()";
            (standby.sql(sql).ok()? == timeline).then_some(())
        });
    });
    assert!(output.status.success(), "{}\n{}", text(&output), cluster.seen());
    let said = format!("to {timeline} meanwhile");
    assert!(text(&output).contains(&said), "{said}: {}", text(&output));
    cluster.primary().sql("insert into t select 2").expect("written");
    crate::wal_kept::is_kept(&cluster);
    let server = restored(&cluster, "latest");
    assert_eq!(server.query("select count(*) from t"), ["9002"]);
}

#[test]
fn a_standby_that_is_promoted_gives_its_backup_up() {
    let cluster = started();
    let output = backup(&cluster, cluster.node("n2"), || {
        cluster.howdah_ok(&["switchover", "--to", "n2"]);
        cluster.wait_for_other_primary("n1", SOON);
    });
    let said = text(&output);
    assert!(!output.status.success() && said.contains("promoted"), "{said}");
    assert!(said.contains("hint:"), "{said}");
    assert_eq!(cluster.howdah_ok(&["backups", "--format", "json"]).trim(), "[]");
    cluster.howdah_ok(&["backup"]);
}
