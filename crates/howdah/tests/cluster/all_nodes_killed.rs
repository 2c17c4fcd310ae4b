//! A power cut: every process of every node dies. After the start of all nodes the cluster
//! serves again and has every acknowledged row.

use howdah_testkit::{Setup, Writer};

use crate::{ROWS_WITHIN, three};

#[test]
pub fn all_nodes_killed_in_quorum() {
    comes_back(three());
}

#[test]
pub fn all_nodes_killed_in_async() {
    comes_back(three().asynchronous());
}

fn comes_back(setup: Setup) {
    let cluster = setup.start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(200, ROWS_WITHIN);
    let primary = cluster.primary().name.clone();
    let term = cluster.status().term;
    // The primary first: what it acknowledged is then on its own disk and, in quorum, on
    // another; the standbys have no time to take over.
    cluster.node(&primary).kill9_everything();
    for node in cluster.nodes().iter().filter(|node| node.name != primary) {
        node.kill9_everything();
    }
    cluster.start_all();
    cluster.wait_whole();
    assert!(cluster.status().term >= term, "terms only rise");
    client.wait_for_rows(100, ROWS_WITHIN);
    let quorum = cluster.status().durability == "quorum";
    // In async a standby that lacks the last rows may have been first.
    if quorum || cluster.primary().name == primary {
        client.stop_and_check();
    }
}
