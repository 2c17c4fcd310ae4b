//! A parameter that standbys need as high as their primary changes on all nodes, in the right
//! order: rising, standbys first; falling, the primary first. Each class of parameter reaches
//! all nodes.

use std::time::Duration;

use howdah_testkit::{Cluster, Writer};

use crate::{ROWS_WITHIN, three};

const SOON: Duration = Duration::from_secs(30);

fn apply(cluster: &mut Cluster, name: &str, value: &str) {
    cluster.file.set("postgresql.parameters", name, &format!("\"{value}\""));
    cluster.write_file();
    cluster.howdah_ok(&["apply"]);
}

/// What the server will have after its next start, by its own reading of its files.
fn next_start(cluster: &Cluster, node: &str) -> Option<String> {
    let sql = "SELECT setting FROM pg_file_settings WHERE name = 'max_connections' ORDER BY seqno \
               DESC LIMIT 1";
    cluster.node(node).sql(sql).ok()
}

fn wait_next(cluster: &Cluster, node: &str, value: &str) {
    cluster.wait_for(&format!("{node} will start with {value}"), SOON, || {
        (next_start(cluster, node)? == value).then_some(())
    });
}

/// What `howdah restart --pending` goes by.
fn wait_pending(cluster: &Cluster, nodes: &[&String]) {
    cluster.wait_for("the restarts that are pending are known", SOON, || {
        let status = cluster.status();
        let pending = status.nodes.iter().filter(|line| !line.pending_restart.is_empty());
        let pending: Vec<&str> = pending.map(|line| line.node.as_str()).collect();
        (pending == nodes.iter().map(|n| n.as_str()).collect::<Vec<_>>()).then_some(())
    });
}

fn in_force(cluster: &Cluster, value: &str) {
    for node in cluster.nodes() {
        assert_eq!(node.sql("SHOW max_connections").expect("asked"), value, "{}", node.name);
    }
}

#[test]
fn each_class_of_parameter_reaches_all_nodes_in_order() {
    let mut cluster = three().start();
    let primary = cluster.primary().name.clone();
    let standbys: Vec<String> = cluster.standbys().iter().map(|node| node.name.clone()).collect();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);

    // Reloaded; needs a new session only; needs a restart.
    apply(&mut cluster, "log_min_duration_statement", "777");
    apply(&mut cluster, "max_connections", "90");
    for standby in &standbys {
        wait_next(&cluster, standby, "90");
    }
    wait_next(&cluster, &primary, "60");
    in_force(&cluster, "60");
    for node in cluster.nodes() {
        let shown = node.sql("SHOW log_min_duration_statement").expect("asked");
        assert_eq!(shown, "777ms", "{}", node.name);
    }
    wait_pending(&cluster, &standbys.iter().collect::<Vec<_>>());

    cluster.howdah_ok(&["restart", "--pending"]);
    cluster.wait_whole();
    in_force(&cluster, "90");
    assert_eq!(cluster.primary().name, primary, "a restart is no failover");

    apply(&mut cluster, "max_connections", "70");
    wait_next(&cluster, &primary, "70");
    for standby in &standbys {
        wait_next(&cluster, standby, "90");
    }
    wait_pending(&cluster, &[&primary]);
    cluster.howdah_ok(&["restart", "--pending"]);
    cluster.wait_whole();
    in_force(&cluster, "70");
    client.wait_for_rows(50, ROWS_WITHIN);
    client.stop_and_check();
}
