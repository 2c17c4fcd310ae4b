//! The host of the primary is lost: its network goes dark, then everything on it is killed.
//! Nobody resets a connection; what hangs, hangs.

use std::time::{Duration, Instant};

use howdah_testkit::{Cluster, Node};

use crate::watch::Watch;
use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

/// With a lease of six seconds, on a busy machine.
const GAP_MAX: Duration = Duration::from_secs(20);

#[test]
fn the_host_of_the_primary_is_lost() {
    let Some(setup) = three() else { return };
    let cluster = setup.start();
    let primary = cluster.primary();
    let standby = cluster.standbys()[0];
    crate::store_lost::lead(&cluster, standby);
    lose_and_bring_back(&cluster, primary);
}

#[test]
fn the_host_of_the_primary_is_lost_and_it_led_etcd_too() {
    let Some(setup) = three() else { return };
    let cluster = setup.start();
    let primary = cluster.primary();
    crate::store_lost::lead(&cluster, primary);
    lose_and_bring_back(&cluster, primary);
}

#[test]
fn in_async_the_next_primary_waits_for_the_lease() {
    let Some(setup) = three() else { return };
    let cluster = setup.asynchronous().start();
    let old = cluster.primary();
    let client = howdah_testkit::Writer::start(cluster.plan());
    client.wait_for_rows(200, ROWS_WITHIN);
    cluster.lose_host(old);
    cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    client.wait_for_rows(100, ROWS_WITHIN);
    cluster.return_host(old);
    cluster.wait_whole();
    let journal = client.stop();
    let present = howdah_testkit::writer::rows(&cluster.plan()).expect("read the rows back");
    let missing = journal.missing_from(&present);
    assert!(missing.len() < 20, "only what was on its way may be missing: {missing:?}");
}

fn lose_and_bring_back(cluster: &Cluster, old: &Node) {
    let watch = Watch::start(cluster);
    let term = cluster.status().term;
    let lost_at = Instant::now();
    cluster.lose_host(old);
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    watch.wait_for_rows(100, ROWS_WITHIN);
    assert!(new.status().expect("a status").term > term, "a new primary has a new term");
    cluster.return_host(old);
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, new.name, "who comes back does not take over");
    watch.wait_for_rows(100, ROWS_WITHIN);
    let gap = watch.judge(lost_at);
    assert!(gap < GAP_MAX, "no row for {gap:?}");
}
