//! What an operator says about a node decides elections, confirmations, reads, copies and whom
//! a standby streams from.

use std::time::Duration;

use howdah_base::record::{Member, ServerState};
use howdah_testkit::{Cluster, Writer};

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

const SOON: Duration = Duration::from_secs(30);

/// The record of a node, as the primary's status shows it.
fn member(cluster: &Cluster, name: &str) -> Option<Member> {
    let status = cluster.find_primary()?.status().ok()?;
    status.nodes.into_iter().find(|node| node.node.as_str() == name)?.member
}

fn make_primary(cluster: &Cluster, name: &str) {
    let old = cluster.primary().name.clone();
    if old != name {
        cluster.howdah_ok(&["switchover", "--to", name]);
        cluster.wait_for_other_primary(&old, SOON);
    }
    assert_eq!(cluster.primary().name, name);
    cluster.wait_whole();
}

#[test]
fn the_preferred_standby_is_elected_and_a_barred_one_never() {
    let cluster = three()
        .set("nodes.n2.tags", "no_failover", "true")
        .set("nodes.n3.tags", "failover_priority", "10")
        .start();
    make_primary(&cluster, "n1");
    cluster.primary().kill9_everything();
    assert_eq!(cluster.wait_for_other_primary("n1", TAKEOVER_WITHIN).name, "n3");
    cluster.node("n1").start();
    cluster.wait_whole();
    let refused = cluster.howdah(&["switchover", "--to", "n2"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("no_failover"), "{words}");
    cluster.primary().kill9_everything();
    assert_eq!(cluster.wait_for_other_primary("n3", TAKEOVER_WITHIN).name, "n1");
}

#[test]
fn a_standby_streams_from_the_one_that_the_file_names_and_from_the_primary_without_it() {
    let cluster = three()
        .set("nodes.n3.tags", "no_failover", "true")
        .set("nodes.n3.tags", "no_sync", "true")
        .set("nodes.n3.tags", "replicate_from", "\"n2\"")
        .start();
    make_primary(&cluster, "n1");
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    let streams_from = |upstream: &str| {
        cluster.wait_for(&format!("n3 streams from {upstream}"), SOON, || {
            let from = member(&cluster, "n3")?.streaming_from?;
            (from.as_str() == upstream).then_some(())
        });
    };
    streams_from("n2");
    cluster.wait_for("the primary keeps no slot that nobody uses", SOON, || {
        let slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'howdah\\_n3%'";
        (cluster.node("n1").sql(slots).ok()? == "0").then_some(())
    });
    // It may have been the first primary, and handed over as a voter.
    cluster.wait_for("n2 counts and n3 does not", SOON, || {
        let status = cluster.status();
        let voter = |name: &str| status.nodes.iter().any(|n| n.node.as_str() == name && n.voter);
        (voter("n2") && !voter("n3")).then_some(())
    });

    cluster.node("n2").kill9_everything();
    streams_from("n1");
    client.wait_for_rows(50, ROWS_WITHIN);
    cluster.node("n2").start();
    streams_from("n2");

    // The standby in between becomes the primary: nothing to relay any more.
    cluster.howdah_ok(&["switchover", "--to", "n2"]);
    cluster.wait_whole();
    streams_from("n2");
    client.wait_for_rows(50, ROWS_WITHIN);
    client.stop_and_check();
}

#[test]
fn copies_are_made_from_the_node_that_the_file_names_for_it() {
    let cluster = three().set("nodes.n2.tags", "clone_from", "true").start();
    make_primary(&cluster, "n1");
    let copied = cluster.node("n3");
    copied.kill9_everything();
    std::fs::remove_dir_all(&copied.data_dir).expect("removed");
    copied.start();
    cluster.wait_for("n3 is copied from n2", TAKEOVER_WITHIN, || {
        copied.log_text().contains("copied from `n2`").then_some(())
    });
    cluster.wait_whole();
}

#[test]
fn reads_do_not_go_where_the_file_forbids_them_and_commits_do_not_wait_there() {
    let cluster = three()
        .set("nodes.n3.tags", "no_load_balance", "true")
        .set("nodes.n3.tags", "no_sync", "true")
        .start();
    make_primary(&cluster, "n1");
    let n3 = cluster.node("n3");
    cluster.wait_for("health checks keep readers away", SOON, || {
        (n3.health("/replica") == Some(503) && n3.state() == Some(ServerState::Streaming))
            .then_some(())
    });
    assert_eq!(cluster.node("n2").health("/replica"), Some(200));
    let setting = cluster.primary().sql("SHOW synchronous_standby_names").expect("asked");
    assert!(setting.contains("n2_") && !setting.contains("n3_"), "{setting}");
}
