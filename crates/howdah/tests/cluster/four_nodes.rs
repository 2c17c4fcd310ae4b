//! Four nodes: two of three standbys confirm each commit, so two machines may be lost at once, the
//! primary's among them.

use howdah_testkit::{Cluster, Writer};

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN};

#[test]
pub fn four_nodes_the_primary_and_a_standby_lost_at_once_cost_no_acknowledged_row() {
    let cluster = Cluster::of(4, env!("CARGO_BIN_EXE_howdah")).start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    cluster.wait_for("two standbys confirm each commit", TAKEOVER_WITHIN, || {
        (cluster.status().nodes_spare == Some(2)).then_some(())
    });

    let (old, lost) = (cluster.primary(), cluster.standbys()[0]);
    lost.kill9_everything();
    old.kill9_everything();
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    client.wait_for_rows(100, ROWS_WITHIN);

    old.start();
    lost.start();
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, new.name, "who comes back does not take over");
    cluster.wait_for("two standbys confirm each commit again", TAKEOVER_WITHIN, || {
        (cluster.status().nodes_spare == Some(2)).then_some(())
    });
    client.stop_and_check();
}
