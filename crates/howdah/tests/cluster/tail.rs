//! The primary's PostgreSQL is killed with WAL on its disk that no standby has got: it is handed
//! over with the term, or the server starts again where it was, whichever is expected to be
//! quicker. Nothing that was acknowledged is lost either way, also in `async`.

use std::time::Duration;

use howdah_base::record::ChangeKind;
use howdah_testkit::{Cluster, Node, Writer, process};
use nix::sys::signal::Signal;

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

/// WAL of records that change nothing, megabytes.
fn write_wal(node: &Node, megabytes: u32) {
    let sql = format!(
        "SELECT count(pg_logical_emit_message(false, 'story', repeat('x', 1048576))) \
         FROM generate_series(1, {megabytes})"
    );
    node.sql(&sql).expect("WAL is written");
}

/// Their WAL receivers, which get nothing more into the WAL from here on.
fn freeze_receivers(cluster: &Cluster) -> Vec<i32> {
    let standbys = cluster.standbys();
    let receivers: Vec<i32> = standbys.iter().filter_map(|node| node.wal_receiver_pid()).collect();
    assert_eq!(receivers.len(), 2, "{}", cluster.seen());
    for receiver in &receivers {
        process::signal(*receiver, Signal::SIGSTOP);
    }
    receivers
}

/// Once the server that they received from is gone.
fn thaw(receivers: &[i32]) {
    for receiver in receivers {
        process::signal(*receiver, Signal::SIGCONT);
    }
}

fn wait_replayed(cluster: &Cluster, primary: &Node) {
    let sql = "SELECT bool_and(replay_lsn >= pg_current_wal_flush_lsn() - 1048576) \
               FROM pg_stat_replication";
    cluster.wait_for("the standbys are near", Duration::from_secs(30), || {
        (primary.sql(sql).ok()? == "t").then_some(())
    });
}

#[test]
pub fn postmaster_killed_in_async_what_no_standby_had_goes_over_with_the_term() {
    let cluster = three().asynchronous().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let old = cluster.primary();
    let term = cluster.status().term;
    write_wal(old, 128);
    wait_replayed(&cluster, old);

    let receivers = freeze_receivers(&cluster);
    write_wal(old, 40);
    client.wait_for_rows(50, ROWS_WITHIN);
    old.kill9_postmaster();
    thaw(&receivers);

    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    client.wait_for_rows(50, ROWS_WITHIN);
    cluster.wait_whole();
    let status = cluster.status();
    assert!(status.term > term, "{}", cluster.seen());
    let fetched = new.log_text();
    assert!(fetched.contains("rule=417") && fetched.contains("bytes of WAL from"), "{fetched}");

    let change = status.history.iter().find(|change| change.term > term).expect("a new term");
    assert_eq!((change.kind, change.loss.as_str()), (ChangeKind::Handover, "none"));
    let sql = format!("SELECT pg_read_file('pg_wal/{:08X}.history')", change.timeline.0);
    let history = new.sql(&sql).expect("the new timeline's history");
    let fork = history.lines().rfind(|line| !line.trim().is_empty()).expect("a line");
    let fork = fork.split_whitespace().nth(1).expect("where it left").to_owned();
    assert_eq!(fork, change.begins.lsn.to_string(), "it forks where the old WAL ends");
    let rejoined = old.log_text();
    assert!(!rejoined.contains("rule=504"), "without a rewind: {rejoined}");
    client.stop_and_check();
}

#[test]
pub fn postmaster_killed_in_async_far_ahead_of_its_standbys_it_starts_again_where_it_was() {
    let cluster = three().asynchronous().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let (old, term) = (cluster.primary(), cluster.status().term);
    let before = old.postmaster_pid();

    let receivers = freeze_receivers(&cluster);
    write_wal(old, 160);
    old.sql("CHECKPOINT").expect("a checkpoint");
    old.kill9_postmaster();
    thaw(&receivers);

    cluster.wait_for("the server starts again", TAKEOVER_WITHIN, || {
        old.postmaster_pid().filter(|pid| Some(*pid) != before)
    });
    client.wait_for_rows(50, ROWS_WITHIN);
    cluster.wait_whole();
    assert_eq!((&cluster.primary().name, cluster.status().term), (&old.name, term));
    let log = old.log_text();
    assert!(log.contains("rule=306") && log.contains("would need"), "it says why: {log}");
    client.stop_and_check();
}
