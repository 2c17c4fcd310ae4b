//! A directory that left the leader's history comes back to it, or is marked.

use std::fs;
use std::time::Duration;

use howdah_base::{Term, Timeline};
use howdah_postgres::directory::{self, DirectoryState};
use howdah_postgres::rewind;
use nix::sys::signal::Signal;

use crate::harness::Server;

/// `n1` has committed on alone after `n2` was promoted in its place.
async fn parted() -> (Server, Server) {
    let primary = Server::primary("n1").await;
    let standby = Server::standby("n2", &primary).await;
    primary.sql("CREATE TABLE t AS SELECT 1 AS a").await;
    let end = primary.session().await.probe_commit().await.expect("probe");
    standby.wait_replayed(end).await;
    let session = standby.session().await;
    session.promote(Duration::from_secs(20)).await.expect("promotes");
    session.checkpoint().await.expect("checkpoint");
    standby.sql("INSERT INTO t VALUES (2)").await;
    primary.sql("INSERT INTO t VALUES (666)").await;
    standby.configure(false);
    (primary, standby)
}

fn state(server: &Server) -> DirectoryState {
    directory::read(&server.install, &server.data_dir, &server.state_dir)
}

async fn rewind(server: &Server, leader: &Server) -> Result<String, howdah_postgres::PgError> {
    let source = server.conninfo(leader);
    rewind::run(&server.install, &server.data_dir, &server.state_dir, &source).await
}

/// Also when it was a standby that crashed: single-user recovery refuses a standby's directory.
#[tokio::test]
async fn a_crashed_server_that_went_on_alone_is_rewound() {
    for signal_file in [false, true] {
        let (mut old, leader) = parted().await;
        old.kill9();
        fs::create_dir(old.data_dir.join("log")).expect("make it");
        fs::write(old.data_dir.join("log/postgresql-x.log"), "how it died").expect("write");
        if signal_file {
            fs::write(old.data_dir.join("standby.signal"), "").expect("write");
        }
        let said = rewind(&old, &leader).await.expect("rewinds");
        assert!(!said.is_empty());
        let DirectoryState::Ready(ready) = state(&old) else { panic!("{:?}", state(&old)) };
        assert_eq!(ready.file.map(|file| file.id), Some(old.id()), "the same directory");
        let log = fs::read_to_string(old.data_dir.join("log/postgresql-x.log"));
        assert_eq!(log.expect("kept"), "how it died");

        leader.session().await.create_slot(&old.id().slot(Term(1))).await.expect("slot");
        old.follow(&leader);
        old.start().await;
        leader.wait_streaming(&old).await;
        let end = leader.session().await.probe_commit().await.expect("probe");
        old.wait_replayed(end).await;
        assert_eq!(old.value("SELECT string_agg(a::text, ',' ORDER BY a) FROM t").await, "1,2");
        let probe = old.session().await.probe().await.expect("probe");
        assert_eq!(probe.timeline, Timeline(2));
    }
}

#[tokio::test]
async fn one_that_cannot_even_begin_has_changed_nothing() {
    let (mut old, mut leader) = parted().await;
    old.stop(Signal::SIGINT);
    leader.kill9();
    let error = rewind(&old, &leader).await.expect_err("nobody answers").to_string();
    assert!(error.contains("Connection refused"), "{error}");
    assert!(matches!(state(&old), DirectoryState::Ready(_)), "{:?}", state(&old));
    old.start().await;
    assert_eq!(old.value("SELECT count(*) FROM t").await, "2");
}

/// A leader whose control file still shows the old timeline looks to pg_rewind as if the two had
/// never parted. Here they have not, and it says the same.
#[tokio::test]
async fn one_that_sees_the_same_timeline_has_done_nothing() {
    let leader = Server::primary("n1").await;
    let mut old = Server::bare("n2");
    old.copy_from(&leader).await.expect("copies");
    old.configure(false);
    old.start().await;
    old.sql("CREATE TABLE alone (a int)").await;
    old.stop(Signal::SIGINT);
    let error = rewind(&old, &leader).await.expect_err("no rewind").to_string();
    assert!(error.contains("does not show its timeline yet"), "{error}");
    assert!(matches!(state(&old), DirectoryState::Ready(_)), "{:?}", state(&old));
}

/// Marked, so that a copy takes its place.
#[tokio::test]
async fn one_that_can_never_work_marks_the_directory() {
    let (mut old, leader) = parted().await;
    old.stop(Signal::SIGINT);
    // The WAL since the fork is gone.
    for entry in fs::read_dir(old.data_dir.join("pg_wal")).expect("list").flatten() {
        if entry.file_name().len() == 24 {
            fs::remove_file(entry.path()).expect("remove");
        }
    }
    let error = rewind(&old, &leader).await.expect_err("no WAL").to_string();
    let DirectoryState::Unusable { why } = state(&old) else {
        panic!("{error}: {:?}", state(&old))
    };
    assert!(!why.is_empty());
}

/// Dropped in the middle, it leaves the mark.
#[tokio::test]
async fn one_that_is_given_up_marks_the_directory() {
    let (mut old, leader) = parted().await;
    old.kill9();
    let given_up = tokio::time::timeout(Duration::from_millis(20), rewind(&old, &leader)).await;
    assert!(given_up.is_err(), "single-user recovery takes longer");
    assert!(matches!(state(&old), DirectoryState::Unusable { .. }), "{:?}", state(&old));
}
