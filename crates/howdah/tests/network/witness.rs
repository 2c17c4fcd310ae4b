//! Two machines with data and a witness: any one of the three may be lost.

use std::time::{Duration, Instant};

use howdah_testkit::Cluster;

use crate::watch::Watch;
use crate::{ROWS_WITHIN, three};

const WITNESS: &str = "n3";

#[test]
fn any_one_of_two_data_nodes_and_a_witness_may_be_lost() {
    let Some(setup) = three() else { return };
    let cluster = setup.witness(WITNESS).start();
    let primary = cluster.primary().name.clone();
    let standby = ["n1", "n2"].into_iter().find(|name| *name != primary).expect("another");
    for lost in [WITNESS, standby, &primary] {
        lose_and_bring_back(&cluster, lost);
    }
    assert_eq!(cluster.primary().name, standby, "the standby took over at last");
}

fn lose_and_bring_back(cluster: &Cluster, name: &str) {
    let (lost, primary) = (cluster.node(name), cluster.primary().name.clone());
    let term = cluster.status().term;
    let watch = Watch::start(cluster);
    let lost_at = Instant::now();
    cluster.lose_host(lost);
    watch.wait_for_rows(100, ROWS_WITHIN);
    cluster.return_host(lost);
    cluster.wait_whole();
    watch.wait_for_rows(100, ROWS_WITHIN);
    let changed = cluster.status().term != term;
    assert_eq!(changed, primary == name, "only the primary's loss moves it: {name}");
    let gap = watch.judge(lost_at);
    assert!(gap < Duration::from_secs(20), "{name}: no row for {gap:?}\n{}", cluster.seen());
}
