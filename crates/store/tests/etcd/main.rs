//! The etcd driver, against real members: the contract, and what only a network can suffer.

#[path = "../contract/mod.rs"]
mod contract;
mod holder;
mod measure;
mod members;
mod network;
mod options;
mod real_time;
mod refused;
mod relay;

use std::sync::Arc;

use howdah_store::etcd::Etcd;
use howdah_testkit::{EtcdCluster, EtcdSetup};
use options::options;
use real_time::RealTime;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_in_the_clear() {
    contract_holds(EtcdSetup::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_with_tls_and_a_password() {
    let only_below = Some("/howdah/".to_owned());
    contract_holds(EtcdSetup { tls: true, only_below, ..EtcdSetup::default() }).await;
}

/// All checks side by side on one cluster, each below a prefix of its own.
async fn contract_holds(setup: EtcdSetup) {
    let etcd = Arc::new(EtcdCluster::start(3, setup));
    let subject = |check: &str| {
        let (etcd, options) = (Arc::clone(&etcd), options(&etcd, check));
        async move { RealTime::subject(etcd, Etcd::open(options).await.expect("opens")) }
    };
    let mut broken = Vec::new();
    for (name, check) in together!(subject) {
        broken.extend(check.await.is_err().then_some(name));
    }
    assert!(broken.is_empty(), "see above: {broken:?}");
}
