//! The cable between two machines is cut, for every pair, in both directions and in each alone.
//!
//! The third machine still reaches both, so there is a majority of etcd, and a standby that can
//! confirm or take over: clients write again while the cut lasts, and when it is healed there
//! is one primary with two standbys.

use std::time::{Duration, Instant};

use howdah_testkit::{Cluster, wait};

use crate::store_lost::lead;
use crate::watch::Watch;
use crate::{TAKEOVER_WITHIN, three};

/// Longer than a lease, and than what etcd takes to elect a leader.
const CUT_FOR: Duration = Duration::from_secs(12);
/// Without a row, on a busy machine.
const GAP_MAX: Duration = Duration::from_secs(15);

#[test]
fn each_pair_is_cut_in_both_directions() {
    each_pair(|cluster, one, other| cluster.cables().cut(one, other));
}

#[test]
fn each_pair_is_cut_in_one_direction() {
    each_pair(|cluster, one, other| cluster.cables().cut_one_way(one, other));
}

#[test]
fn each_pair_is_cut_in_the_other_direction() {
    each_pair(|cluster, one, other| cluster.cables().cut_one_way(other, one));
}

fn each_pair(cut: impl Fn(&Cluster, &str, &str)) {
    let Some(setup) = three() else { return };
    let cluster = setup.start();
    for (one, other) in [("n1", "n2"), ("n1", "n3"), ("n2", "n3")] {
        // A leader of etcd that does not reach one of its followers, or is not heard by it.
        lead(&cluster, cluster.node(one));
        let watch = Watch::start(&cluster);
        let cut_at = Instant::now();
        cut(&cluster, one, other);
        wait::stays(CUT_FOR, || true);
        watch.wait_for_rows(100, TAKEOVER_WITHIN);
        cluster.cables().heal(one, other);
        cluster.wait_whole();
        let gap = watch.judge(cut_at);
        assert!(gap < GAP_MAX, "{one} and {other}: no row for {gap:?}\n{}", cluster.seen());
    }
}
