//! kill -9 of the agent or of the guard alone.
//!
//! The guard outlives the agent: an agent that is started again in time finds PostgreSQL
//! running, and nothing changes hands. PostgreSQL does not outlive the guard.

use std::time::Duration;

use howdah_testkit::cluster::WHOLE_WITHIN;
use howdah_testkit::{Writer, wait};

use crate::{ROWS_WITHIN, three};

#[test]
pub fn agent_killed_and_started_again_leaves_postgresql_and_the_term_alone() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let primary = cluster.primary();
    let (server, term) = (primary.postmaster_pid(), cluster.status().term);

    primary.kill9_agent();
    primary.start();
    cluster.wait_whole();
    client.wait_for_rows(100, ROWS_WITHIN);
    // Longer than the lease: a deadline that nobody moved would have ended the server by then.
    let same = wait::stays(Duration::from_secs(12), || primary.postmaster_pid() == server);
    assert!(same, "PostgreSQL did not keep running\n{}", cluster.seen());
    assert_eq!(cluster.primary().name, primary.name, "no failover");
    assert_eq!(cluster.status().term, term, "the same term");
    client.stop_and_check();
}

#[test]
pub fn agent_of_a_standby_killed_is_no_reason_for_anything() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let (primary, term) = (cluster.primary(), cluster.status().term);
    let standby = cluster.standbys()[0];
    standby.kill9_agent();
    standby.start();
    cluster.wait_whole();
    assert_eq!((cluster.status().term, &cluster.primary().name), (term, &primary.name));
    client.wait_for_rows(100, ROWS_WITHIN);
    client.stop_and_check();
}

#[test]
pub fn guard_killed_takes_postgresql_with_it_and_the_cluster_heals() {
    let cluster = three().start();
    cluster.expect_error("the guard is gone");
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let primary = cluster.primary();
    let server = primary.postmaster_pid().expect("a server");
    primary.kill9_guard();
    cluster.wait_for("PostgreSQL dies with its guard", Duration::from_secs(10), || {
        (primary.postmaster_pid() != Some(server)).then_some(())
    });
    // An agent without a guard may end; its supervisor, here the test, starts it again.
    cluster.wait_for("the cluster is whole again", WHOLE_WITHIN, || {
        if primary.agent_pid().is_none() {
            primary.start();
        }
        cluster.amiss().is_none().then_some(())
    });
    client.wait_for_rows(100, ROWS_WITHIN);
    client.stop_and_check();
}
