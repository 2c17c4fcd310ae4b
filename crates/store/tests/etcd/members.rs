//! Members of etcd die, hang, hand over and come back; nobody loses the lease by it.

use std::time::{Duration, Instant};

use howdah_store::{Store, StoreError, Txn};
use howdah_testkit::{EtcdCluster, EtcdSetup, wait};
use tokio::time::timeout;

use crate::contract::soon;
use crate::holder::Holder;
use crate::options::options;

fn others(member: usize) -> [usize; 2] {
    [(member + 1) % 3, (member + 2) % 3]
}

/// A third of the lease: what a renewal may take at most while etcd has a leader.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn any_one_member_dies_and_comes_back() {
    let mut etcd = EtcdCluster::start(3, EtcdSetup::default());
    let holder = Holder::new(options(&etcd, "a")).await;
    for member in 0..3 {
        let led = etcd.leader() == member;
        etcd.kill(member);
        let took = holder.kept_again().await;
        assert!(led || took < SOON, "member {member} did not lead, and it took {took:?}");
        etcd.leader();
        assert!(holder.kept().await < SOON);
        etcd.restart(member);
        etcd.wait_until_whole();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connected_member_freezes() {
    let etcd = EtcdCluster::start(3, EtcdSetup::default());
    let member = others(etcd.leader())[0];
    let mut options = options(&etcd, "a");
    options.endpoints.rotate_left(member);
    let holder = Holder::new(options).await;
    etcd.freeze(member);
    let first = holder.kept().await;
    assert!(first < Duration::from_millis(1_500), "{first:?}");
    let second = holder.kept().await;
    assert!(second < first, "the one that answered is asked first: {first:?}, {second:?}");
    let seen = holder.store.snapshot().await.expect("reads").revision;
    holder.store.txn(Txn::new().put("term", &1_u64)).await.expect("writes");
    let watched = timeout(SOON, holder.store.changed(seen)).await;
    watched.expect("the watch has moved, too").expect("watches");
    etcd.thaw(member);
    holder.kept().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_goes_to_one_that_is_awake() {
    let etcd = EtcdCluster::start(3, EtcdSetup::default());
    let member = others(etcd.leader())[0];
    let mut options = options(&etcd, "a");
    options.endpoints.rotate_left(member);
    let holder = Holder::new(options).await;
    etcd.freeze(member);
    assert!(wait::stays(Duration::from_millis(400), || true), "it has not answered lately");
    let began = Instant::now();
    holder.store.txn(Txn::new().put("term", &1_u64)).await.expect("writes");
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn etcds_leader_freezes_and_leadership_moves() {
    let etcd = EtcdCluster::start(3, EtcdSetup::default());
    let holder = Holder::new(options(&etcd, "a")).await;
    for _ in 0..2 {
        let leader = etcd.leader();
        etcd.freeze(leader);
        holder.kept_again().await;
        etcd.thaw(leader);
        etcd.wait_until_whole();
        let next = others(etcd.leader())[0];
        etcd.move_leader(next);
        holder.kept_again().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_neither_reads_nor_renews() {
    let etcd = EtcdCluster::start(3, EtcdSetup::default());
    let leader = etcd.leader();
    let mut only = options(&etcd, "a");
    only.endpoints = vec![etcd.endpoint(leader)];
    let holder = Holder::new(only).await;
    others(leader).into_iter().for_each(|member| etcd.freeze(member));
    // At first it still takes itself for the leader; a lease alone it would prolong.
    let (renewal, _) = holder.renew().await;
    assert!(matches!(renewal, Err(StoreError::Unreachable { .. })), "{renewal:?}");
    let read = holder.store.snapshot().await;
    assert!(matches!(read, Err(StoreError::Unreachable { .. })), "{read:?}");
    others(leader).into_iter().for_each(|member| etcd.thaw(member));
    holder.kept_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_etcd_is_lost_and_comes_back() {
    let mut etcd = EtcdCluster::start(3, EtcdSetup::default());
    let holder = Holder::new(options(&etcd, "a")).await;
    let store = &holder.store;
    store.txn(Txn::new().put("term", &7_u64)).await.expect("writes");
    let seen = store.snapshot().await.expect("reads").revision;
    (0..3).for_each(|member| etcd.kill(member));
    for error in [
        store.snapshot().await.map(|_| ()),
        store.txn(Txn::new().put("term", &8_u64)).await.map(|_| ()),
        holder.renew().await.0,
        soon("a watch that says so", store.changed(seen)).await,
    ] {
        match error {
            Err(StoreError::Unreachable { why, .. }) => {
                assert!(why.contains("Connection refused"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    (0..3).for_each(|member| etcd.restart(member));
    etcd.leader();
    let snapshot = store.snapshot().await.expect("reads again");
    assert_eq!(snapshot.get::<u64>("term").map(|found| found.map(|f| f.0)), Ok(Some(7)));
    // etcd lets every lease live anew when it gets a leader.
    holder.kept().await;
    soon("the watch is back", async {
        store.txn(Txn::new().put("term", &9_u64)).await.expect("writes");
        while store.changed(snapshot.revision).await.is_err() {}
    })
    .await;
}

/// The store's user outlives a restart of everything: a node starts while etcd is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_opened_while_etcd_is_away_works_once_it_is_there() {
    let mut etcd = EtcdCluster::start(1, EtcdSetup::default());
    etcd.kill(0);
    let store = howdah_store::etcd::Etcd::open(options(&etcd, "a")).await.expect("opens");
    assert!(matches!(store.snapshot().await, Err(StoreError::Unreachable { .. })));
    etcd.restart(0);
    etcd.leader();
    assert!(store.snapshot().await.expect("reads").entries.is_empty());
}
