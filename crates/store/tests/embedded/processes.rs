//! Several processes on one file, and processes that are killed in the middle.
//!
//! The children are this test binary again, running the one ignored test below.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use howdah_store::embedded::{Embedded, Options};
use howdah_store::{Snapshot, Store, StoreError, Txn, TxnOutcome};

use crate::contract::{TTL, soon};
use crate::scratch::Scratch;

const DIRECTORY: &str = "HOWDAH_TEST_STORE";
const TIMES: &str = "HOWDAH_TEST_TIMES";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_count_lose_nothing() {
    let scratch = Scratch::new();
    let children: Vec<Counter> = (0..3).map(|_| Counter::start(&scratch.store(), 100)).collect();
    for child in children {
        child.finish();
    }
    let store = open(&scratch.store()).await;
    assert_eq!(pair(&store.snapshot().await.expect("snapshot")), (300, 300));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_in_the_middle_leaves_whole_transactions() {
    let scratch = Scratch::new();
    let store = open(&scratch.store()).await;
    let mut known = 0;
    for round in 1..=8 {
        let mut child = Counter::start(&scratch.store(), u64::MAX);
        let told = child.read_until(known + 5 * round);
        child.kill();
        let snapshot = store.snapshot().await.expect("snapshot");
        let (record, leased) = pair(&snapshot);
        assert_eq!(record, leased, "both keys of a transaction or none");
        assert!(record >= told, "{told} was acknowledged, {record} is there");
        let next = store.txn(Txn::new().put("probe", &round)).await;
        assert!(matches!(next, Ok(TxnOutcome::Applied { .. })), "the dead hold nothing");
        known = record;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_learns_what_another_process_wrote() {
    let scratch = Scratch::new();
    let store = open(&scratch.store()).await;
    let before = store.snapshot().await.expect("snapshot").revision;
    let child = Counter::start(&scratch.store(), 1);
    soon("the other process's write", store.changed(before)).await.expect("watch");
    child.finish();
    assert_eq!(pair(&store.snapshot().await.expect("snapshot")), (1, 1));
}

/// A child that counts up `count` and `leased` together and tells each number when applied.
struct Counter {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Counter {
    fn start(directory: &Path, times: u64) -> Counter {
        let this = std::env::current_exe().expect("this binary");
        let mut child = Command::new(this)
            .args(["--exact", "processes::child", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(TIMES, times.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("child");
        let told = BufReader::new(child.stdout.take().expect("piped"));
        Counter { child, told }
    }

    /// The first number told that is at least `count`.
    fn read_until(&mut self, count: u64) -> u64 {
        let mut lines = self.told.by_ref().lines().map(|line| line.expect("text"));
        lines
            .find_map(|line| {
                let told = line.strip_prefix("applied ")?.parse::<u64>().ok()?;
                (told >= count).then_some(told)
            })
            .expect("the child tells")
    }

    fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("gone");
    }

    fn finish(mut self) {
        for line in self.told.by_ref().lines() {
            line.expect("text");
        }
        assert!(self.child.wait().expect("ended").success());
    }
}

async fn open(directory: &Path) -> Embedded {
    Embedded::open(directory, Options::of_this_machine().expect("boot id")).await.expect("opens")
}

fn pair(snapshot: &Snapshot) -> (u64, u64) {
    let value = |key| snapshot.get::<u64>(key).expect("a number").map_or(0, |(value, _)| value);
    (value("count"), value("leased"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the tests above"]
async fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let times: u64 = std::env::var(TIMES).expect("times").parse().expect("a number");
    let store = open(Path::new(&directory)).await;
    let lease = store.grant(TTL * 60).await.expect("grant");
    let mut applied = 0;
    while applied < times {
        let snapshot = match store.snapshot().await {
            Err(StoreError::Unreachable { .. }) => continue,
            snapshot => snapshot.expect("snapshot"),
        };
        let count = pair(&snapshot).0 + 1;
        let seen = snapshot.entries.get("count").map(|entry| entry.revision);
        let txn = Txn::new().as_seen("count", seen).put("count", &count);
        match store.txn(txn.put_leased("leased", &count, lease)).await.expect("txn") {
            TxnOutcome::Refused { .. } => {}
            TxnOutcome::Applied { .. } => {
                applied += 1;
                println!("applied {count}");
            }
        }
    }
}
