//! Hooks are told of each change once: at a start, a switchover, the loss of the primary's host,
//! restarts and reloads, a pause, the end of a node; and not of an agent that only comes back.

use std::time::Duration;

use howdah_testkit::Cluster;

use crate::told::Told;
use crate::{TAKEOVER_WITHIN, three};

/// A server that was restarted: it was seen to be down, or it was quicker than that.
const STANDBY_AGAIN: &str = "on_start standby|on_restart standby";

fn started() -> (Cluster, Told) {
    let mut told = Told::new();
    let cluster = told.on(three()).start();
    let primary = cluster.primary().name.clone();
    let leads = format!("on_leader_change {primary}");
    let as_primary = [
        "on_start primary",
        "on_role_change primary",
        "?on_reload primary",
        &leads,
        "?on_reload primary",
    ];
    let as_standby = ["on_start standby", "on_role_change standby", "?on_reload standby"];
    let wanted: Vec<(&str, &[&str])> = cluster
        .nodes()
        .iter()
        .map(|node| {
            let steps: &[&str] = if node.name == primary { &as_primary } else { &as_standby };
            (node.name.as_str(), steps)
        })
        .collect();
    told.expect(&cluster, "the start", &wanted);
    (cluster, told)
}

#[test]
pub fn each_change_by_an_operator_is_told_once() {
    let (cluster, mut told) = started();
    told.expect_quiet(&cluster, "nothing happens");

    let old = cluster.primary().name.clone();
    cluster.howdah_ok(&["switchover"]);
    let new = cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN).name.clone();
    cluster.wait_whole();
    let leads = format!("on_leader_change {new}");
    told.expect(
        &cluster,
        "a switchover",
        &[
            (&new, &["on_role_change primary", &leads]),
            (&old, &["?on_stop stopped", STANDBY_AGAIN, "on_role_change standby"]),
        ],
    );

    cluster.howdah_ok(&["restart", &old]);
    cluster.wait_whole();
    told.expect(&cluster, "a restart of a standby", &[(&old, &["on_restart standby"])]);
    cluster.howdah_ok(&["restart", &new]);
    cluster.wait_whole();
    told.expect(&cluster, "a restart of the primary", &[(&new, &["on_restart primary"])]);

    cluster.howdah_ok(&["reload"]);
    let standbys = cluster.standbys();
    let mut wanted: Vec<(&str, &[&str])> = vec![(&new, &["on_reload primary"])];
    wanted.extend(standbys.iter().map(|node| (node.name.as_str(), &["on_reload standby"] as &[_])));
    told.expect(&cluster, "a reload of all", &wanted);

    cluster.howdah_ok(&["pause"]);
    told.expect(&cluster, "a pause", &[(&new, &["on_pause primary"])]);
    cluster.howdah_ok(&["resume"]);
    told.expect(&cluster, "its end", &[(&new, &["on_resume primary"])]);

    told.expect_quiet(&cluster, "all is told");
    told.judge(&cluster);
}

#[test]
pub fn the_loss_of_the_primarys_host_and_its_return_are_told_once() {
    let (cluster, mut told) = started();
    let old = cluster.primary();
    let term = cluster.status().term.0;
    old.kill9_everything();
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    let (lost, leads) =
        (format!("on_node_lost {}", old.name), format!("on_leader_change {}", new.name));
    let wanted: &[&str] = &["on_role_change primary", &leads, &lost];
    told.expect(&cluster, "a failover", &[(&new.name, wanted)]);
    let lines = told.lines(&new.name);
    let change = lines.iter().rev().find(|line| line.event == "on_role_change").expect("told");
    assert!(change.term > term, "{change:?}");

    old.start();
    cluster.wait_whole();
    let back = format!("on_node_back {}", old.name);
    told.expect(
        &cluster,
        "the return of the host",
        &[
            (&new.name, &[&back]),
            (&old.name, &["?on_stop stopped", STANDBY_AGAIN, "on_role_change standby"]),
        ],
    );

    // A node that is stopped tells of it itself, and the leader that it is gone.
    let standby = cluster.standbys().into_iter().find(|node| node.name != old.name);
    let standby = standby.expect("a third node");
    standby.stop();
    let lost = format!("on_node_lost {}", standby.name);
    told.expect(
        &cluster,
        "the stop of a standby",
        &[(&standby.name, &["on_stop stopped"]), (&new.name, &[&lost])],
    );
    standby.start();
    cluster.wait_whole();
    let back = format!("on_node_back {}", standby.name);
    told.expect(
        &cluster,
        "its start",
        &[(&standby.name, &["on_start standby"]), (&new.name, &[&back])],
    );
    told.expect_quiet(&cluster, "all is told");
    told.judge(&cluster);
}

#[test]
pub fn an_agent_that_is_killed_and_comes_back_tells_nothing_again() {
    let (cluster, mut told) = started();
    told.expect_quiet(&cluster, "nothing happens");
    for node in cluster.nodes() {
        // A call whose end is not known is repeated, by design.
        told.wait_known(&cluster);
        node.kill9_agent();
        node.start();
        cluster.wait_whole();
    }
    told.expect_quiet(&cluster, "agents came back in time, PostgreSQL ran all the while");
    // What is told next has a number that was never given out.
    cluster.howdah_ok(&["pause"]);
    let primary = cluster.primary().name.clone();
    told.expect(&cluster, "a pause", &[(&primary, &["on_pause primary"])]);

    // What happens while no agent runs is told by the next one.
    cluster.howdah_ok(&["resume"]);
    told.expect(&cluster, "its end", &[(&primary, &["on_resume primary"])]);
    let standby = cluster.standbys()[0];
    standby.kill9_everything();
    let lost = format!("on_node_lost {}", standby.name);
    cluster.wait_for("the leader notices", Duration::from_secs(30), || {
        told.lines(&primary).iter().any(|line| line.event == "on_node_lost").then_some(())
    });
    standby.start();
    cluster.wait_whole();
    let back = format!("on_node_back {}", standby.name);
    told.expect(
        &cluster,
        "a standby that was lost and is back",
        &[(&primary, &[&lost, &back]), (&standby.name, &["?on_stop stopped", STANDBY_AGAIN])],
    );
    told.expect_quiet(&cluster, "all is told");
    told.judge(&cluster);
}
