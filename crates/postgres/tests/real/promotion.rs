//! A promotion takes exactly the timeline that was reserved, and others can follow it there.

use std::fs;
use std::time::Duration;

use howdah_base::{History, Timeline};
use howdah_postgres::{directory, wal};

use crate::harness::Server;

const PROMOTE_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn from_1_to_5_and_the_other_standby_follows() {
    let mut primary = Server::primary("n1").await;
    let standby = Server::standby("n2", &primary).await;
    let mut other = Server::standby("n3", &primary).await;
    primary.sql("CREATE TABLE t AS SELECT 1 AS a").await;
    let end = primary.session().await.probe_commit().await.expect("probe");
    standby.wait_replayed(end).await;
    other.wait_replayed(end).await;
    primary.kill9();

    let session = standby.session().await;
    directory::reserve_timeline(&standby.data_dir, Timeline(1), Timeline(5)).expect("reserves");
    session.promote(PROMOTE_WITHIN).await.expect("promotes");
    let probe = session.probe().await.expect("probe");
    assert_eq!(probe.timeline, Timeline(5));
    assert!(!probe.in_recovery);
    let history = session.history(Timeline(5)).await.expect("history");
    assert_eq!(history.forks.iter().map(|(t, _)| *t).collect::<Vec<_>>(), [Timeline(1)]);
    standby.configure(false);

    session.create_slot(&other.id().slot(howdah_base::Term(1))).await.expect("slot");
    other.follow(&standby);
    other.session().await.reload().await.expect("reload");
    standby.wait_streaming(&other).await;
    standby.sql("INSERT INTO t VALUES (2)").await;
    let end = session.probe_commit().await.expect("probe");
    other.wait_replayed(end).await;
    let probe = other.session().await.probe().await.expect("probe");
    assert_eq!(probe.position().timeline, Timeline(5));
    assert!(probe.position().lsn >= end);

    // Killed, its disk tells of the timeline that its control file does not know yet.
    other.kill9();
    let on_disk = wal::end(&other.install, &other.data_dir, None).expect("end");
    assert_eq!(on_disk.timeline, Timeline(5));
    assert!(on_disk.lsn >= end, "{on_disk} {end}");
    let state = directory::read(&other.install, &other.data_dir, &other.state_dir);
    let directory::DirectoryState::Ready(ready) = state else { panic!("{state:?}") };
    assert_eq!(ready.history, history);
}

/// Why the placeholders stay: the standby asks its new primary for each history in between.
#[tokio::test]
async fn without_the_placeholders_nobody_could_follow() {
    let mut primary = Server::primary("n1").await;
    let standby = Server::standby("n2", &primary).await;
    let mut other = Server::standby("n3", &primary).await;
    primary.kill9();
    let session = standby.session().await;
    directory::reserve_timeline(&standby.data_dir, Timeline(1), Timeline(3)).expect("reserves");
    session.promote(PROMOTE_WITHIN).await.expect("promotes");
    let placeholder = standby.data_dir.join("pg_wal/00000002.history");
    fs::rename(&placeholder, standby.state_dir.join("aside")).expect("put aside");

    session.create_slot(&other.id().slot(howdah_base::Term(1))).await.expect("slot");
    other.follow(&standby);
    other.session().await.reload().await.expect("reload");
    other
        .until("it asks in vain", async || {
            other.log().contains("could not open file \"pg_wal/00000002.history\"").then_some(())
        })
        .await;
    fs::rename(standby.state_dir.join("aside"), &placeholder).expect("bring back");
    standby.wait_streaming(&other).await;
}

/// Why those of a promotion that did not happen must go: the standby takes the last of them for
/// its target and never finds WAL that it may replay.
#[tokio::test]
async fn leftovers_of_a_failed_promotion_are_cleared_before_a_start() {
    let primary = Server::primary("n1").await;
    let mut standby = Server::standby("n2", &primary).await;
    directory::reserve_timeline(&standby.data_dir, Timeline(1), Timeline(4)).expect("reserves");
    standby.kill9();
    standby.launch();
    standby
        .until("it finds no WAL of its own", async || {
            standby.log().contains("unexpected timeline ID 1 in log segment").then_some(())
        })
        .await;
    standby.kill9();
    standby.configure(true);
    standby.start().await;
    primary.wait_streaming(&standby).await;
}

#[tokio::test]
async fn a_number_that_is_taken_or_behind_is_refused() {
    let server = Server::of("n1");
    let reserve = |from, wanted| {
        directory::reserve_timeline(&server.data_dir, Timeline(from), Timeline(wanted))
    };
    reserve(1, 4).expect("reserves");
    assert!(reserve(1, 3).is_err(), "a placeholder stands there");
    assert!(reserve(4, 4).is_err());
    assert!(reserve(1, 1_000_000).is_err());
    let real = server.data_dir.join("pg_wal/00000003.history");
    fs::write(&real, "1\t0/3000000\tfor a test\n").expect("write");
    directory::clear_reserved(&server.data_dir).expect("clears");
    assert!(server.data_dir.join("pg_wal/00000002.history").exists(), "below a real one it stays");
    let history = directory::read_history(&server.data_dir, Timeline(3)).expect("real");
    assert_ne!(history, History::root(Timeline(3)));
}
