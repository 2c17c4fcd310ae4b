//! What a data directory is, from nothing to a cluster.

use std::fs;

use howdah_base::{History, Timeline};
use howdah_postgres::directory::{self, DirectoryFile, DirectoryState};
use howdah_postgres::initdb;

use crate::harness::Server;

fn state(server: &Server) -> DirectoryState {
    directory::read(&server.install, &server.data_dir, &server.state_dir)
}

#[tokio::test]
async fn from_nothing_to_a_cluster() {
    let server = Server::bare("n1");
    assert_eq!(state(&server), DirectoryState::Missing);
    fs::create_dir(&server.data_dir).expect("make it");
    assert_eq!(state(&server), DirectoryState::Empty);

    // What a killed initdb leaves looks like nothing.
    let half = server.data_dir.with_file_name("data.creating");
    fs::create_dir(&half).expect("make it");
    fs::write(half.join("PG_VERSION"), "15\n").expect("write");
    assert_eq!(state(&server), DirectoryState::Empty);

    let file = DirectoryFile { id: server.id(), node: server.node(), fresh: true, adopted: false };
    initdb::run(&server.install, &server.data_dir, "C.UTF-8", &file).await.expect("initdb");
    assert!(!half.exists());
    let DirectoryState::Ready(ready) = state(&server) else { panic!("{:?}", state(&server)) };
    assert_eq!(ready.file, Some(file));
    assert!(ready.control.checksums && ready.control.clean_shutdown());
    assert_eq!(ready.history, History::root(Timeline(1)));
    assert!(!ready.standby_signal);

    let other = DirectoryFile { fresh: false, ..ready.file.expect("identity") };
    let again = initdb::run(&server.install, &server.data_dir, "C.UTF-8", &other);
    again.await.expect_err("a directory that is not empty is never replaced");
    let DirectoryState::Ready(ready) = state(&server) else { panic!("{:?}", state(&server)) };
    assert!(ready.file.is_some_and(|file| file.fresh));
}

#[tokio::test]
async fn what_is_not_ours_is_named() {
    let server = Server::of("n1");
    let said = || match state(&server) {
        DirectoryState::Foreign { what } => what,
        other => panic!("{other:?}"),
    };
    let version = server.data_dir.join("PG_VERSION");
    fs::write(&version, "9\n").expect("write");
    assert!(said().contains("of PostgreSQL 9"), "{}", said());
    fs::remove_file(&version).expect("remove");
    assert!(said().contains("not PostgreSQL's"), "{}", said());
}

#[test]
fn a_mark_that_cannot_be_read_is_not_no_mark() {
    let server = Server::of("n1");
    fs::create_dir(server.state_dir.join("unusable.json")).expect("make it");
    let state = state(&server);
    assert!(matches!(state, DirectoryState::Unusable { .. }), "{state:?}");
}

#[test]
fn a_damaged_identity_is_not_no_identity() {
    let server = Server::of("n1");
    fs::write(server.data_dir.join("howdah.json"), "{").expect("write");
    directory::read_file(&server.data_dir).expect_err("damaged");
    let state = state(&server);
    assert!(matches!(state, DirectoryState::Foreign { .. }), "{state:?}");
}
