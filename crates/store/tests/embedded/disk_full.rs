//! A full disk: told as such, nothing half written, and over as soon as there is space.
//!
//! The child is this test binary again, in a mount namespace of its own with a tiny tmpfs.

use std::fs;
use std::path::Path;
use std::process::Command;

use howdah_store::embedded::{Embedded, Options};
use howdah_store::{Store, StoreError, Txn, TxnOutcome};

use crate::scratch::Scratch;

const DIRECTORY: &str = "HOWDAH_TEST_TMPFS";

#[test]
fn a_full_disk_refuses_writes_until_there_is_space() {
    let scratch = Scratch::new();
    let this = std::env::current_exe().expect("this binary");
    let script = format!(
        "mount -t tmpfs -o size=1m none \"${DIRECTORY}\" &&
         exec \"$0\" --exact disk_full::child --ignored --nocapture"
    );
    let ended = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(this)
        .env(DIRECTORY, scratch.path())
        .status()
        .expect("unshare (util-linux)");
    assert!(ended.success());
}

#[tokio::test]
#[ignore = "the child of the test above"]
async fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let ballast = directory.join("ballast");
    fs::write(&ballast, vec![0; 256 << 10]).expect("room for it");
    let options = Options::of_this_machine().expect("boot id");
    let store = Embedded::open(&directory.join("store"), options).await.expect("opens");

    let (kept, error) = fill(&store).await;
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(error.to_string().contains("the disk is full"), "{error}");
    let snapshot = store.snapshot().await.expect("readers go on");
    assert_eq!(snapshot.entries.len(), kept, "the refused write left nothing");

    fs::remove_file(ballast).expect("removed");
    let again = store.txn(Txn::new().put("again", &1_u64)).await;
    assert!(matches!(again, Ok(TxnOutcome::Applied { .. })), "{again:?}");
}

/// Puts large records until one fails; how many are kept, and why the last one is not.
async fn fill(store: &Embedded) -> (usize, StoreError) {
    let value = "x".repeat(16 << 10);
    for n in 0..1000 {
        if let Err(error) = store.txn(Txn::new().put(format!("key-{n}"), &value)).await {
            return (n, error);
        }
    }
    panic!("a megabyte never ends");
}
