//! The network between a node and etcd is slow, or loses what it carries.

use std::time::{Duration, Instant};

use howdah_store::{Store, StoreError, Txn, TxnOutcome};
use howdah_testkit::{EtcdCluster, EtcdSetup};
use tokio::time::timeout;

use crate::contract::soon;
use crate::holder::Holder;
use crate::options::options;
use crate::relay::Relay;

/// Three members, each behind a relay of its own, and somebody who holds the lease.
async fn relayed() -> (EtcdCluster, Vec<Relay>, Holder) {
    let etcd = EtcdCluster::start(3, EtcdSetup::default());
    let mut relays = Vec::new();
    for endpoint in etcd.endpoints() {
        relays.push(Relay::before(&endpoint).await);
    }
    let mut options = options(&etcd, "a");
    options.endpoints = relays.iter().map(|relay| relay.endpoint.clone()).collect();
    let holder = Holder::new(options).await;
    (etcd, relays, holder)
}

/// How often a key was put since it was made.
fn puts(etcd: &EtcdCluster, key: &str) -> u64 {
    let text = etcd.ctl(&["get", &format!("/howdah/a/{key}"), "-w", "fields"]);
    let version = text.lines().find_map(|line| line.strip_prefix("\"Version\" : "));
    version.map_or(0, |number| number.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_slow_everywhere() {
    let (_etcd, relays, holder) = relayed().await;
    relays.iter().for_each(|relay| relay.delay(Duration::from_millis(250)));
    // There and back is as long as a try is left alone; nothing is given up for it.
    for number in 0..2_u64 {
        holder.kept().await;
        let txn = Txn::new().put("term", &number);
        let applied = holder.store.txn(txn).await.expect("writes");
        assert!(matches!(applied, TxnOutcome::Applied { .. }));
        holder.store.snapshot().await.expect("reads");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_way_to_etcd_is_slow() {
    let (_etcd, relays, holder) = relayed().await;
    relays[0].delay(Duration::from_secs(1));
    let first = holder.kept().await;
    assert!(first < Duration::from_millis(1_500), "{first:?}");
    let second = holder.kept().await;
    assert!(second < Duration::from_millis(500), "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_sent_once() {
    let (etcd, relays, holder) = relayed().await;
    // Whoever answered last is asked; the others would answer, too.
    let before: Vec<usize> = relays.iter().map(Relay::asked).collect();
    holder.kept().await;
    let risen = |(relay, before): &(&Relay, usize)| relay.asked() - before;
    let (relay, _) = relays.iter().zip(before).max_by_key(risen).expect("three relays");
    relay.lose_answers();
    let began = Instant::now();
    let lost = holder.store.txn(Txn::new().put("term", &1_u64)).await;
    assert!(matches!(lost, Err(StoreError::Unreachable { .. })), "{lost:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    relay.heal();
    let snapshot = holder.store.snapshot().await.expect("reads");
    assert_eq!(snapshot.get::<u64>("term").map(|found| found.map(|f| f.0)), Ok(Some(1)));
    assert_eq!(puts(&etcd, "term"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_off_watch_missed_was_compacted() {
    let (etcd, relays, holder) = relayed().await;
    let seen = holder.store.snapshot().await.expect("reads").revision;
    relays.iter().for_each(Relay::cut);
    for number in 0..20 {
        etcd.ctl(&["put", "/howdah/a/term", &number.to_string()]);
    }
    let text = etcd.ctl(&["get", "/howdah/a/term", "-w", "fields"]);
    let revision = text.lines().find_map(|line| line.strip_prefix("\"Revision\" : "));
    etcd.ctl(&["compact", revision.expect("a revision")]);
    relays.iter().for_each(Relay::heal);
    // Long before the end of the lease, which is a change too.
    let watched = timeout(Duration::from_secs(3), async {
        while holder.store.changed(seen).await.is_err() {}
        holder.store.snapshot().await
    });
    let snapshot = watched.await.expect("the watch is back").expect("reads");
    assert_eq!(snapshot.get::<u64>("term").map(|found| found.map(|f| f.0)), Ok(Some(19)));
    // And it goes on.
    let watcher = holder.store.changed(snapshot.revision);
    let put = holder.store.txn(Txn::new().put("term", &20_u64));
    let (watched, put) = soon("the next change", async { tokio::join!(watcher, put) }).await;
    watched.and(put.map(|_| ())).expect("watches and writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_does_not_disturb_a_watch() {
    let (etcd, _relays, holder) = relayed().await;
    for number in 0..5_u64 {
        let seen = holder.store.snapshot().await.expect("reads").revision;
        etcd.ctl(&["compact", &seen.to_string()]);
        holder.store.txn(Txn::new().put("term", &number)).await.expect("writes");
        soon("the change", holder.store.changed(seen)).await.expect("watches");
    }
}
