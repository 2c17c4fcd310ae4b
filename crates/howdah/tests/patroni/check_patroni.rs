//! `check_patroni`, a monitoring plugin for Patroni, asks Howdah and understands every answer.

use std::process::Command;
use std::time::Duration;

use howdah_testkit::{Cluster, Node};

use crate::{nodes, tools};

#[test]
fn check_patroni_understands_howdah() {
    let cluster = nodes(3).start();
    let primary = cluster.primary();
    let standbys = cluster.standbys();
    let standby = standbys[0];
    let of_cluster = |arguments: &[&str]| check(primary, arguments);

    assert!(of_cluster(&["cluster_has_leader"]).starts_with("CLUSTERHASLEADER OK"));
    let count = of_cluster(&["cluster_node_count", "--healthy-critical", "3:"]);
    assert!(count.contains("OK") && count.contains("healthy_members=3"), "{count}");
    let count = "cluster_node_count --healthy-critical 4:".split(' ').collect::<Vec<_>>();
    assert!(of_cluster(&count).contains("CRITICAL"), "a check that cannot fail is none");
    let replicas = ["cluster_has_replica", "-c", "2:", "--sync-critical", "2:"];
    let seen =
        of_cluster(&[&replicas[..], &["--sync-type", "quorum", "--max-lag", "1MB"]].concat());
    assert!(seen.contains("OK") && seen.contains("sync_replica=2"), "{seen}");

    assert!(check(primary, &["node_is_alive"]).contains("OK"));
    assert!(check(primary, &["node_is_primary"]).contains("OK"));
    assert!(check(primary, &["node_is_leader"]).contains("OK"));
    assert!(check(primary, &["node_is_replica"]).contains("CRITICAL"));
    assert!(check(standby, &["node_is_primary"]).contains("CRITICAL"));
    assert!(check(standby, &["node_is_replica", "--max-lag", "1MB"]).contains("OK"));
    assert!(check(standby, &["node_is_replica", "--is-sync"]).contains("OK"));
    assert!(check(standby, &["node_is_replica", "--is-async"]).contains("CRITICAL"));
    assert!(check(standby, &["node_is_pending_restart"]).contains("OK"));
    let timeline = check(standby, &["node_tl_has_changed", "--timeline", "1"]);
    assert!(timeline.contains("OK"), "{timeline}");
    let hash = of_cluster(&["cluster_config_has_changed", "--hash", "0"]);
    assert!(hash.contains("CRITICAL") && hash.contains("The hash of patroni's dynamic"), "{hash}");

    plans_and_pauses(&cluster, primary, standby);
}

fn plans_and_pauses(cluster: &Cluster, primary: &Node, standby: &Node) {
    let of_cluster = |arguments: &[&str]| check(primary, arguments);
    let soon = Duration::from_secs(20);
    assert!(of_cluster(&["cluster_is_in_maintenance"]).contains("OK"));
    cluster.howdah_ok(&["pause", "--wait"]);
    assert!(of_cluster(&["cluster_is_in_maintenance"]).contains("CRITICAL"));
    cluster.howdah_ok(&["resume", "--wait"]);
    assert!(of_cluster(&["cluster_is_in_maintenance"]).contains("OK"));

    assert!(of_cluster(&["cluster_has_scheduled_action"]).contains("OK"));
    cluster.howdah_ok(&["switchover", "--at", "+60min"]);
    cluster.howdah_ok(&["restart", &standby.name, "--at", "+60min"]);
    cluster.wait_for("both are planned", soon, || {
        let seen = of_cluster(&["cluster_has_scheduled_action"]);
        let both = ["CRITICAL", "scheduled_switchover=1", "scheduled_restart=1"];
        both.iter().all(|word| seen.contains(word)).then_some(())
    });
    cluster.howdah_ok(&["flush", "switchover"]);
    cluster.howdah_ok(&["flush", "restart"]);
    cluster.wait_for("nothing is planned", soon, || {
        of_cluster(&["cluster_has_scheduled_action"]).contains("OK").then_some(())
    });
}

/// What the plugin says of a node, or of the cluster by way of it.
#[track_caller]
fn check(node: &Node, arguments: &[&str]) -> String {
    let endpoint = format!("http://127.0.0.1:{}", node.ports.http);
    let output = Command::new(tools::program("check_patroni"))
        .args(["-e", &endpoint])
        .args(arguments)
        .output()
        .expect("run check_patroni");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("UNKNOWN") && complaint.is_empty(), "{arguments:?}: {said}{complaint}");
    said
}
