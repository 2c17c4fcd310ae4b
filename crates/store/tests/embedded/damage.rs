//! Files that cannot be used, and machines that were restarted: told, not guessed.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use howdah_store::embedded::{Embedded, Options};
use howdah_store::{Renewal, Store, StoreError, Txn, TxnOutcome};

use crate::contract::TTL;
use crate::scratch::{Clock, Scratch};

async fn open(directory: &Path) -> Result<Embedded, StoreError> {
    Embedded::open(directory, Options::of_this_machine().expect("boot id")).await
}

#[tokio::test]
async fn the_directory_is_made_for_its_owner_alone() {
    let scratch = Scratch::new();
    let _store = open(&scratch.store()).await.expect("opens");
    let mode = fs::metadata(scratch.store()).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn after_a_restart_of_the_machine_records_stand_and_leases_are_over() {
    let scratch = Scratch::new();
    let clock = Clock::new();
    let (lease, before) = {
        let store = Embedded::open(&scratch.store(), clock.options("boot-1")).await.expect("opens");
        let lease = store.grant(TTL).await.expect("grant");
        let txn = Txn::new().put("term", &5_u64).put_leased("leader", &1_u64, lease);
        store.txn(txn).await.expect("txn");
        (lease, store.snapshot().await.expect("snapshot").revision)
    };
    let store = Embedded::open(&scratch.store(), clock.options("boot-2")).await.expect("opens");
    let snapshot = store.snapshot().await.expect("snapshot");
    assert_eq!(snapshot.get::<u64>("term").expect("a number").map(|(term, _)| term), Some(5));
    assert!(!snapshot.entries.contains_key("leader"));
    assert!(snapshot.revision > before);
    assert_eq!(store.renew(lease, None).await, Ok(Renewal::Lost));
    let again = store.txn(Txn::new().put_leased("leader", &1_u64, lease)).await.expect("txn");
    assert!(matches!(again, TxnOutcome::Refused { .. }));
}

#[tokio::test]
async fn opening_again_in_the_same_boot_keeps_leases() {
    let scratch = Scratch::new();
    let clock = Clock::new();
    let options = || clock.options("boot-1");
    let lease = {
        let store = Embedded::open(&scratch.store(), options()).await.expect("opens");
        let lease = store.grant(TTL).await.expect("grant");
        store.txn(Txn::new().put_leased("leader", &1_u64, lease)).await.expect("txn");
        lease
    };
    let store = Embedded::open(&scratch.store(), options()).await.expect("opens");
    assert_eq!(store.snapshot().await.expect("snapshot").lease("leader"), Some(lease));
    assert_eq!(store.renew(lease, None).await, Ok(Renewal::Kept));
    clock.pass(TTL);
    assert!(store.snapshot().await.expect("snapshot").entries.is_empty());
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_named() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.store()).expect("directory");
    let file = scratch.store().join("store.db");
    fs::write(&file, vec![b'x'; 8192]).expect("write");
    let error = open(&scratch.store()).await.expect_err("damaged");
    assert!(matches!(&error, StoreError::DamagedFile { path, .. } if *path == file), "{error}");
    assert!(error.to_string().contains("hint: stop every node"), "{error}");
}

#[tokio::test]
async fn a_damaged_page_is_found_when_the_store_is_opened() {
    let scratch = Scratch::new();
    let file = scratch.store().join("store.db");
    {
        let db = written_by_hand(&scratch);
        db.execute_batch("PRAGMA journal_mode = DELETE").expect("one file");
    }
    let bytes = OpenOptions::new().write(true).open(&file).expect("open");
    bytes.write_all_at(&[0xAB; 4096 * 2], 4096).expect("overwrite");
    let error = open(&scratch.store()).await.expect_err("damaged");
    assert!(matches!(error, StoreError::DamagedFile { .. }), "{error}");
}

#[tokio::test]
async fn a_newer_howdahs_file_is_left_alone() {
    let scratch = Scratch::new();
    written_by_hand(&scratch).execute_batch("PRAGMA user_version = 9").expect("version");
    let error = open(&scratch.store()).await.expect_err("newer");
    assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("version 9"), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    fs::write(&file, "").expect("write");
    let error = open(&file.join("store")).await.expect_err("not a directory");
    assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("hint: give the directory"), "{error}");
}

#[tokio::test]
async fn a_writer_that_never_ends_makes_the_store_unreachable_and_not_hang() {
    let scratch = Scratch::new();
    let store = open(&scratch.store()).await.expect("opens");
    let db = rusqlite::Connection::open(scratch.store().join("store.db")).expect("opens");
    db.execute_batch("BEGIN IMMEDIATE").expect("locks");
    let refused = store.txn(Txn::new().put("term", &1_u64)).await;
    assert!(matches!(refused, Err(StoreError::Unreachable { .. })), "{refused:?}");
    assert!(store.snapshot().await.is_ok(), "readers go on");
    db.execute_batch("ROLLBACK").expect("unlocks");
    let applied = store.txn(Txn::new().put("term", &1_u64)).await;
    assert!(matches!(applied, Ok(TxnOutcome::Applied { .. })), "{applied:?}");
}

/// A store's file with many pages, opened without the driver.
fn written_by_hand(scratch: &Scratch) -> rusqlite::Connection {
    fs::create_dir(scratch.store()).expect("directory");
    let db = rusqlite::Connection::open(scratch.store().join("store.db")).expect("opens");
    db.execute_batch(
        "CREATE TABLE meta (one INTEGER PRIMARY KEY, boot_id TEXT, revision INTEGER,
                            leases_granted INTEGER) STRICT;
         CREATE TABLE leases (id INTEGER PRIMARY KEY, ttl_ms INTEGER, ends_ms INTEGER) STRICT;
         CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT, revision INTEGER,
                               lease INTEGER) STRICT;
         INSERT INTO meta VALUES (1, '', 0, 0);
         PRAGMA user_version = 1;",
    )
    .expect("tables");
    db
}
