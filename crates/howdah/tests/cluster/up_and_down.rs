//! `howdah up` runs the whole cluster; a second `up` after `down` goes on where the first one
//! was; `down --purge` leaves nothing.

use std::time::Duration;

use howdah_testkit::{Cluster, process, writer};

use crate::three;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
pub fn up_twice_goes_on_where_it_was() {
    let cluster = three().prepare();
    up(&cluster);
    writer::query(&cluster.plan(), "CREATE TABLE kept AS SELECT 42 AS n").expect("written");
    let identify = "SELECT system_identifier FROM pg_control_system()";
    let made = cluster.primary().sql(identify).expect("asked");

    // While it runs, another `up` has nothing to do and breaks nothing.
    let servers: Vec<_> = cluster.nodes().iter().map(|node| node.postmaster_pid()).collect();
    cluster.howdah(&["up", "--detach"]);
    let after: Vec<_> = cluster.nodes().iter().map(|node| node.postmaster_pid()).collect();
    assert_eq!(after, servers, "{}", cluster.seen());

    down(&cluster, &["down"]);
    up(&cluster);
    assert_eq!(cluster.primary().sql(identify).expect("asked"), made, "the same database");
    assert_eq!(writer::query(&cluster.plan(), "SELECT n FROM kept").expect("read"), ["42"]);

    down(&cluster, &["down", "--purge", "--yes"]);
    assert!(!cluster.base_dir().exists(), "nothing is left");
}

#[test]
pub fn an_agent_that_dies_under_up_is_started_again() {
    let cluster = three().prepare();
    up(&cluster);
    let primary = cluster.primary();
    let (server, term) = (primary.postmaster_pid(), cluster.status().term);
    let agent = primary.agent_pid().expect("an agent");
    primary.kill9_agent();
    cluster
        .wait_for("another agent runs", MINUTE, || primary.agent_pid().filter(|pid| *pid != agent));
    cluster.wait_whole();
    assert_eq!(primary.postmaster_pid(), server, "PostgreSQL kept running");
    assert_eq!(cluster.status().term, term, "the same term");
    down(&cluster, &["down"]);
}

fn up(cluster: &Cluster) {
    cluster.howdah_ok(&["up", "--detach"]);
    cluster.wait_whole();
    let plan = cluster.plan();
    cluster.wait_for("the role `app` is let in", MINUTE, || writer::query(&plan, "SELECT 1").ok());
}

fn down(cluster: &Cluster, arguments: &[&str]) {
    cluster.howdah_ok(arguments);
    cluster.wait_for("no process of the cluster is left", MINUTE, || {
        process::working_on(&cluster.base_dir()).is_empty().then_some(())
    });
}
