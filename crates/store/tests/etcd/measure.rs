//! What a call costs on loopback, and what the loss of a member does:
//! `cargo nextest run -p howdah-store --run-ignored only --no-capture measure`.

use std::fmt::Write;
use std::future::Future;
use std::time::Instant;

use howdah_store::{Store, Txn};
use howdah_testkit::{EtcdCluster, EtcdSetup};

use crate::holder::Holder;
use crate::options::options;

const CALLS: usize = 500;
const LOSSES: usize = 5;

/// The middle and the slowest of a hundred.
async fn spread<F: Future>(what: &str, call: impl Fn() -> F) -> String {
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let began = Instant::now();
        call().await;
        took.push(began.elapsed());
    }
    took.sort();
    format!("{what}: median {:?}, 99 % {:?}\n", took[CALLS / 2], took[CALLS * 99 / 100])
}

async fn calls(setup: EtcdSetup) -> String {
    let etcd = EtcdCluster::start(3, setup);
    let holder = Holder::new(options(&etcd, "a")).await;
    let put = || async { holder.store.txn(Txn::new().put("term", &1_u64)).await.expect("put") };
    let read = || async { holder.store.snapshot().await.expect("read") };
    let mut text = String::new();
    for line in [
        spread("renew", || holder.kept()).await,
        spread("txn", put).await,
        spread("snapshot", read).await,
    ] {
        text += &line;
    }
    text
}

/// How long the first renewal takes after `lose` has struck `member`, each time anew.
async fn loss(what: &str, leads: bool, lose: impl Fn(&mut EtcdCluster, usize)) -> String {
    let mut took = Vec::new();
    for _ in 0..LOSSES {
        let mut etcd = EtcdCluster::start(3, EtcdSetup::default());
        let member = if leads { etcd.leader() } else { (etcd.leader() + 1) % 3 };
        let mut options = options(&etcd, "a");
        options.endpoints.rotate_left(member);
        let holder = Holder::new(options).await;
        holder.kept().await;
        lose(&mut etcd, member);
        let first = holder.kept_again().await;
        took.push((first, holder.kept().await));
    }
    took.sort();
    format!("{what}: first and second renewal {took:.0?}\n")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for a machine with nothing else to do"]
async fn measure() {
    let mut text = String::new();
    let only_below = Some("/howdah/".to_owned());
    let guarded = EtcdSetup { tls: true, only_below, ..EtcdSetup::default() };
    for (how, setup) in [("in the clear", EtcdSetup::default()), ("TLS and password", guarded)] {
        write!(text, "{how}\n{}", calls(setup).await).expect("a string");
    }
    let freeze = |etcd: &mut EtcdCluster, member: usize| etcd.freeze(member);
    text += &loss("connected follower killed", false, EtcdCluster::kill).await;
    text += &loss("connected follower frozen", false, freeze).await;
    text += &loss("etcd's leader killed", true, EtcdCluster::kill).await;
    text += &loss("etcd's leader frozen", true, freeze).await;
    println!("{text}");
}
