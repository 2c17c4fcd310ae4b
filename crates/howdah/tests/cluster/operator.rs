//! What an operator can ask of a cluster: pause it, restart servers one after the other, keep a
//! node down, make a standby anew, plan a switchover and drop it.

use std::time::{Duration, Instant};

use howdah_base::record::ServerState;
use howdah_testkit::{Cluster, Writer, wait};

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

const SOON: Duration = Duration::from_secs(60);
/// Far above a restart in place, far below a failover by lease.
const GAP_MAX: Duration = Duration::from_secs(5);

fn refused(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.howdah(arguments);
    assert!(!output.status.success(), "{arguments:?} was not refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn servers(cluster: &Cluster) -> Vec<Option<i32>> {
    cluster.nodes().iter().map(|node| node.postmaster_pid()).collect()
}

#[test]
fn a_paused_cluster_changes_nothing_by_itself() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    let primary = cluster.primary();
    let term = cluster.status().term;
    cluster.howdah_ok(&["pause"]);
    cluster.wait_for("the screen says that it is paused", SOON, || {
        cluster.howdah_ok(&["status"]).contains("the cluster is paused").then_some(())
    });
    client.wait_for_rows(50, ROWS_WITHIN);

    primary.kill9_postmaster();
    cluster.wait_for("the rule says that it is paused", SOON, || {
        let own = primary.own_status().ok()?;
        (own.rule == 107 && own.state == ServerState::Stopped).then_some(())
    });
    let stays = wait::stays(Duration::from_secs(8), || cluster.find_primary().is_none());
    assert!(stays, "nobody takes over, nothing is started\n{}", cluster.seen());

    cluster.howdah_ok(&["resume"]);
    client.wait_for_rows(50, TAKEOVER_WITHIN);
    cluster.wait_whole();
    assert!(cluster.status().term >= term);
    client.stop_and_check();
}

#[test]
fn a_rolling_restart_restarts_each_server_once_and_fails_nothing_over() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    let (primary, term, before) =
        (cluster.primary().name.clone(), cluster.status().term, servers(&cluster));
    let asked = Instant::now();
    cluster.howdah_ok(&["restart"]);
    cluster.wait_whole();
    client.wait_for_rows(50, ROWS_WITHIN);
    let after = servers(&cluster);
    assert!(before.iter().zip(&after).all(|(b, a)| b != a), "{before:?} {after:?}");
    assert_eq!((cluster.primary().name.clone(), cluster.status().term), (primary.clone(), term));

    // One node only; and one that has nothing to restart for.
    let standby = cluster.standbys()[0].name.clone();
    cluster.howdah_ok(&["restart", &standby]);
    cluster.wait_whole();
    let again = servers(&cluster);
    let changed = after.iter().zip(&again).filter(|(a, b)| a != b).count();
    assert_eq!(changed, 1, "{after:?} {again:?}");
    cluster.howdah_ok(&["restart", "--pending"]);
    assert_eq!(servers(&cluster), again, "nothing waits for a restart");
    let journal = client.stop_and_check();
    let gap = journal.longest_gap(asked).expect("rows").length;
    assert!(gap < GAP_MAX, "no row for {gap:?}\n{}", journal.last_errors());
}

#[test]
fn a_fenced_node_stays_down_and_a_fenced_primary_hands_over() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    let old = cluster.primary().name.clone();
    cluster.howdah_ok(&["fence", &old]);
    let new = cluster.wait_for_other_primary(&old, SOON).name.clone();
    cluster.wait_for("its server is down", SOON, || {
        let node = cluster.node(&old);
        (node.state() == Some(ServerState::Stopped) && node.postmaster_pid().is_none())
            .then_some(())
    });
    client.wait_for_rows(50, ROWS_WITHIN);
    assert!(refused(&cluster, &["switchover", "--to", &old]).contains("fenced"));

    cluster.wait_for("the fenced node does not confirm commits any more", SOON, || {
        let status = cluster.node(&new).status().ok()?;
        let voters: Vec<_> = status.nodes.iter().filter(|node| node.voter).collect();
        (voters.len() == 1 && voters[0].node.as_str() != old).then_some(())
    });
    // A fenced node is no heir either.
    cluster.node(&new).kill9_everything();
    let third = cluster.wait_for_other_primary(&new, TAKEOVER_WITHIN).name.clone();
    assert!(third != old && third != new, "{third}");
    cluster.node(&new).start();
    cluster.howdah_ok(&["unfence", &old]);
    cluster.wait_whole();
    client.wait_for_rows(50, ROWS_WITHIN);
    client.stop_and_check();
}

#[test]
fn a_standby_is_made_anew_by_order_and_the_primary_is_not() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    let primary = cluster.primary().name.clone();
    let standbys: Vec<String> = cluster.standbys().iter().map(|node| node.name.clone()).collect();
    let identity = |name: &str| {
        let status = cluster.node(name).own_status().ok()?;
        status.member?.directory
    };
    let before = identity(&standbys[0]);
    cluster.howdah_ok(&["reinit", &standbys[0], "--from", &standbys[1]]);
    cluster.wait_for("another directory streams", SOON, || {
        let now = identity(&standbys[0]);
        let streams = cluster.node(&standbys[0]).state() == Some(ServerState::Streaming);
        (now.is_some() && now != before && streams).then_some(())
    });
    let from = format!("copied from `{}`", standbys[1]);
    assert!(cluster.node(&standbys[0]).log_text().contains(&from));
    assert!(refused(&cluster, &["reinit", &primary]).contains("lead"));
    cluster.wait_whole();
    client.stop_and_check();
}

#[test]
fn a_switchover_can_be_planned_and_dropped() {
    let cluster = three().start();
    let old = cluster.primary().name.clone();
    cluster.howdah_ok(&["switchover", "--at", "+1h"]);
    cluster.wait_for("it is planned", SOON, || cluster.status().planned);
    let words = refused(&cluster, &["switchover", "--at", "+2h"]);
    assert!(words.contains("planned already"), "{words}");
    cluster.howdah_ok(&["switchover", "--abort"]);
    cluster.wait_for("it is dropped", SOON, || cluster.status().planned.is_none().then_some(()));
    let words = refused(&cluster, &["switchover", "--abort"]);
    assert!(words.contains("no switchover"), "{words}");

    cluster.howdah_ok(&["switchover", "--at", "+3s"]);
    assert_eq!(cluster.primary().name, old, "not yet");
    cluster.wait_for_other_primary(&old, SOON);
    cluster.wait_whole();
    let history = cluster.howdah_ok(&["history"]);
    assert!(history.contains("switchover"), "{history}");
    cluster.wait_for("the history says how long it took", SOON, || {
        cluster.status().history.last()?.timings.opening_ms
    });
}

#[test]
fn a_switchover_under_way_is_given_up_before_the_primary_is_shut_down() {
    let cluster = three()
        .set("ha", "drain_timeout", "\"25s\"")
        .set("ha", "switchover_timeout", "\"60s\"")
        .start();
    let primary = cluster.primary();
    let (name, term) = (primary.name.clone(), cluster.status().term);
    // A transaction that runs keeps the switchover draining.
    let busy = std::thread::scope(|scope| {
        let busy = scope.spawn(|| primary.sql("SELECT pg_sleep(12)"));
        cluster.wait_for("the transaction runs", SOON, || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
            (primary.sql(sql).ok()? == "1").then_some(())
        });
        let moved = scope.spawn(|| cluster.howdah(&["switchover"]));
        cluster.wait_for("the switchover is under way", SOON, || {
            primary.own_status().ok()?.reason.contains("the switchover").then_some(())
        });
        cluster.howdah_ok(&["switchover", "--abort"]);
        let moved = moved.join().expect("asked");
        assert!(!moved.status.success(), "it was given up");
        busy.join().expect("asked")
    });
    assert!(busy.is_ok(), "the transaction was not disturbed: {busy:?}");
    cluster.wait_whole();
    assert_eq!((cluster.primary().name.clone(), cluster.status().term), (name, term));
}
