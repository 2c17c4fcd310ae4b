//! Transactions: all or nothing, on revisions that only rise.

use std::sync::Arc;

use howdah_store::{Store, StoreError, Txn, TxnOutcome};

use super::Subject;

pub async fn a_new_store_is_empty(on: &Subject) {
    let snapshot = on.snapshot().await;
    assert!(snapshot.entries.is_empty());
    on.assert_same(0, snapshot.revision, "nothing has happened");
}

pub async fn a_put_is_read_back_with_its_revision(on: &Subject) {
    let revision = on.applied(Txn::new().put("term", &7_u64)).await;
    let snapshot = on.snapshot().await;
    assert_eq!(snapshot.get::<u64>("term"), Ok(Some((7, revision))));
    assert_eq!(snapshot.get::<u64>("timeline"), Ok(None));
    on.assert_same(revision, snapshot.revision, "a look is no change");
}

pub async fn compare_and_swap_takes_only_the_seen_revision(on: &Subject) {
    let first = on.applied(Txn::new().put("term", &1_u64)).await;
    let second = on.applied(Txn::new().at("term", first).put("term", &2_u64)).await;
    assert!(second > first);
    let shown = on.refused(Txn::new().at("term", first).put("term", &3_u64)).await;
    assert_eq!(shown.get::<u64>("term"), Ok(Some((2, second))));
    on.refused(Txn::new().at("never", first).put("term", &3_u64)).await;
    assert_eq!(on.value("term").await, Some(2));
}

pub async fn absent_lets_only_the_first_in(on: &Subject) {
    on.applied(Txn::new().absent("initialize").put("initialize", &1_u64)).await;
    on.refused(Txn::new().absent("initialize").put("initialize", &2_u64)).await;
    assert_eq!(on.value("initialize").await, Some(1));
}

pub async fn a_refused_transaction_changes_nothing_and_shows_the_state(on: &Subject) {
    let term = on.applied(Txn::new().put("term", &1_u64)).await;
    let before = on.snapshot().await;
    let half = Txn::new().at("term", term).at("sync", 1).put("term", &2_u64).delete("term");
    for shown in [on.refused(half).await, on.snapshot().await] {
        assert_eq!(shown.entries, before.entries);
        on.assert_same(before.revision, shown.revision, "nothing was changed");
    }
}

pub async fn a_transaction_is_one_change(on: &Subject) {
    let old = on.applied(Txn::new().put("handover", &1_u64)).await;
    let new =
        on.applied(Txn::new().put("term", &2_u64).put("timeline", &2_u64).delete("handover")).await;
    on.assert_next(old, new, "three changes are one");
    let snapshot = on.snapshot().await;
    assert_eq!(snapshot.entries["term"].revision, new);
    assert_eq!(snapshot.entries["timeline"].revision, new);
    assert!(!snapshot.entries.contains_key("handover"));
}

pub async fn deleting_nothing_is_no_change(on: &Subject) {
    let revision = on.applied(Txn::new().put("term", &1_u64)).await;
    let deleted = on.applied(Txn::new().delete("intent")).await;
    on.assert_same(revision, deleted, "there was none");
    let looked = on.applied(Txn::new().at("term", revision)).await;
    on.assert_same(revision, looked, "it only compares");
    assert_eq!(on.snapshot().await.entries["term"].revision, revision);
}

pub async fn a_deleted_key_comes_back_with_a_higher_revision(on: &Subject) {
    let first = on.applied(Txn::new().put("intent", &1_u64)).await;
    on.applied(Txn::new().delete("intent")).await;
    let again = on.applied(Txn::new().absent("intent").put("intent", &1_u64)).await;
    assert!(again > first, "an old reader must not take it for the one that it saw");
    on.refused(Txn::new().at("intent", first).delete("intent")).await;
}

pub async fn tasks_that_count_by_compare_and_swap_lose_nothing(on: &Subject) {
    const TASKS: u64 = 8;
    const EACH: u64 = 25;
    let tasks: Vec<_> =
        (0..TASKS).map(|_| tokio::spawn(count_up(Arc::clone(&on.store), EACH))).collect();
    for task in tasks {
        task.await.expect("counted");
    }
    assert_eq!(on.value("count").await, Some(TASKS * EACH));
    let revision = on.snapshot().await.revision;
    assert!(if on.alone { revision == TASKS * EACH } else { revision > TASKS * EACH }, "one each");
}

async fn count_up(store: Arc<dyn Store>, times: u64) {
    let mut snapshot = store.snapshot().await.expect("snapshot");
    for _ in 0..times {
        loop {
            let seen = snapshot.get::<u64>("count").expect("a number");
            let (count, revision) = seen.map_or((0, None), |(count, at)| (count, Some(at)));
            let txn = Txn::new().as_seen("count", revision).put("count", &(count + 1));
            match store.txn(txn).await.expect("txn") {
                TxnOutcome::Refused { snapshot: newer } => {
                    assert!(newer.revision >= snapshot.revision, "revisions only rise");
                    snapshot = newer;
                }
                TxnOutcome::Applied { .. } => break,
            }
        }
        snapshot = store.snapshot().await.expect("snapshot");
    }
}

pub async fn a_record_of_another_shape_is_named(on: &Subject) {
    on.applied(Txn::new().put("sync", &"text")).await;
    match on.snapshot().await.get::<u64>("sync") {
        Err(StoreError::Damaged { key, .. }) => assert_eq!(key, "sync"),
        other => panic!("{other:?}"),
    }
}
