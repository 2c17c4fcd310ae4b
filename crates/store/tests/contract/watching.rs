//! Watching: whoever waits learns of each change, also of one that nobody made.

use std::sync::Arc;

use howdah_store::{StoreError, Txn};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Subject, TTL, soon};

fn watch(on: &Subject, since: u64) -> JoinHandle<Result<(), StoreError>> {
    let store = Arc::clone(&on.store);
    tokio::spawn(async move { store.changed(since).await })
}

pub async fn a_watcher_behind_returns_at_once(on: &Subject) {
    let revision = on.applied(Txn::new().put("term", &1_u64)).await;
    soon("a known change", on.store.changed(revision - 1)).await.expect("watch");
}

pub async fn a_watcher_wakes_when_something_changes(on: &Subject) {
    for term in 1..10_u64 {
        let watcher = watch(on, on.snapshot().await.revision);
        on.applied(Txn::new().put("term", &term)).await;
        soon("a change", watcher).await.expect("joined").expect("watch");
    }
}

pub async fn a_watcher_wakes_when_a_lease_runs_out(on: &Subject) {
    let lease = on.store.grant(TTL).await.expect("grant");
    let put = on.applied(Txn::new().put_leased("leader", &1_u64, lease)).await;
    let watcher = watch(on, put);
    (on.pass)(TTL);
    soon("an expiry", watcher).await.expect("joined").expect("watch");
    assert_eq!(on.value("leader").await, None);
}

pub async fn a_watcher_sleeps_through_renewals(on: &Subject) {
    let lease = on.store.grant(TTL).await.expect("grant");
    let put = on.applied(Txn::new().put_leased("leader", &1_u64, lease)).await;
    let watcher = watch(on, put);
    for _ in 0..20 {
        on.store.renew(lease, Some(("leader".to_owned(), put).into())).await.expect("renew");
    }
    assert!(!watcher.is_finished(), "nothing has changed");
    on.applied(Txn::new().put("term", &1_u64)).await;
    soon("a change", watcher).await.expect("joined").expect("watch");
}

pub async fn a_cancelled_watch_misses_nothing(on: &Subject) {
    let revision = on.snapshot().await.revision;
    let cut = timeout(std::time::Duration::from_millis(1), on.store.changed(revision)).await;
    assert!(cut.is_err(), "nothing has changed");
    on.applied(Txn::new().put("term", &1_u64)).await;
    soon("the change in between", on.store.changed(revision)).await.expect("watch");
}
