//! What an operator can still do when not all is well: fail over with a stated loss, work on a
//! paused cluster, fence the last voter, and know before he asks what a switchover would meet.

use std::time::{Duration, Instant};

use howdah_base::record::{ChangeKind, ServerState};
use howdah_base::status::Verdict;
use howdah_testkit::{Cluster, Store, Writer, process, wait};
use nix::sys::signal::Signal;

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

const SOON: Duration = Duration::from_secs(60);
/// Far above a restart in place, far below a failover by lease.
const GAP_MAX: Duration = Duration::from_secs(5);
/// Commits wait at most so long for a voter that is taken away by order.
const BLOCKED_MAX: Duration = Duration::from_secs(4);

fn refused(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.howdah(arguments);
    assert!(!output.status.success(), "{arguments:?} was not refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Leader and one voter are gone for good: the other one alone cannot know what it lacks.
#[test]
fn a_failover_with_a_loss_is_refused_with_its_bound_until_the_loss_is_accepted() {
    if Store::usual() == Store::Etcd {
        // Two of three members of the store are lost: told in `etcd/hosts.rs`.
        return;
    }
    let cluster = three().start();
    let old = cluster.primary().name.clone();
    let standbys: Vec<String> = cluster.standbys().iter().map(|node| node.name.clone()).collect();
    let last = &standbys[0];
    let words = refused(&cluster, &["failover", last]);
    assert!(words.contains("alive"), "{words}");

    cluster.node(&standbys[1]).kill9_everything();
    cluster.node(&old).kill9_everything();
    cluster.wait_for("the last one says what it would lose", TAKEOVER_WITHIN, || {
        cluster.node(last).own_status().ok()?.failover_loses
    });
    let words = refused(&cluster, &["failover", last]);
    assert!(words.contains("what would be lost: at most what"), "{words}");
    assert!(words.contains("--accept-data-loss"), "{words}");
    assert!(cluster.find_primary().is_none(), "{}", cluster.seen());

    cluster.howdah_ok(&["failover", last, "--accept-data-loss"]);
    assert_eq!(cluster.wait_for_other_primary(&old, SOON).name, *last);
    let change = cluster.node(last).status().expect("a status").history.pop().expect("a change");
    assert_eq!(change.kind, ChangeKind::Forced);
    assert!(change.loss.contains("bytes of that were seen"), "{change:?}");
    cluster.node(&old).start();
    cluster.node(&standbys[1]).start();
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, *last);
}

#[test]
fn a_paused_cluster_does_what_an_operator_asks_for_and_nothing_else() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    let first = cluster.primary().name.clone();
    cluster.howdah_ok(&["pause"]);
    let words = refused(&cluster, &["pause"]);
    assert!(words.contains("paused already"), "{words}");
    let second = cluster.standbys()[0].name.clone();
    cluster.howdah_ok(&["switchover", &second]);
    assert_eq!(cluster.wait_for_other_primary(&first, SOON).name, second);
    client.wait_for_rows(50, ROWS_WITHIN);
    let streams = |name: &str| cluster.node(name).state() == Some(ServerState::Streaming);
    cluster.wait_for("the old primary is a standby", SOON, || streams(&first).then_some(()));

    // A server that has crashed stays down until somebody starts it.
    cluster.node(&first).kill9_postmaster();
    let down = || cluster.node(&first).postmaster_pid().is_none();
    cluster.wait_for("it is down", SOON, || down().then_some(()));
    assert!(wait::stays(Duration::from_secs(3), down), "{}", cluster.seen());
    cluster.howdah_ok(&["restart", &first]);
    cluster.wait_for("it streams again", SOON, || streams(&first).then_some(()));

    cluster.node(&second).kill9_everything();
    let others = || cluster.nodes().iter().filter(|node| node.name != second);
    cluster.wait_for("there is no leader", TAKEOVER_WITHIN, || {
        others().all(|node| node.status().is_ok_and(|s| s.leader.is_none())).then_some(())
    });
    let stays = wait::stays(Duration::from_secs(6), || cluster.find_primary().is_none());
    assert!(stays, "nobody takes over by itself\n{}", cluster.seen());
    // The one that has just been started may lack what the other holds.
    let takes = |name: &&String| cluster.howdah(&["failover", name]).status.success();
    let names: Vec<_> = others().map(|node| node.name.clone()).collect();
    let next = names.iter().find(takes).expect("one of them holds the most");
    assert_eq!(cluster.wait_for_other_primary(&second, SOON).name, *next);
    client.wait_for_rows(50, TAKEOVER_WITHIN);
    let change = cluster.node(next).status().expect("a status").history.pop().expect("a change");
    assert_eq!(change.loss, "none", "{change:?}");
    assert!(change.reason.contains("asked for by"), "{change:?}");

    cluster.howdah_ok(&["resume"]);
    cluster.node(&second).start();
    cluster.wait_whole();
    client.stop_and_check();
}

#[test]
fn the_last_voter_is_fenced_and_commits_hardly_wait() {
    let cluster = Cluster::of(2, env!("CARGO_BIN_EXE_howdah")).start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    let standby = cluster.standbys()[0].name.clone();
    let asked = Instant::now();
    cluster.howdah_ok(&["fence", &standby]);
    cluster.wait_for("its server is down", SOON, || {
        (cluster.node(&standby).state() == Some(ServerState::Stopped)).then_some(())
    });
    client.wait_for_rows(50, ROWS_WITHIN);
    let status = cluster.status();
    assert_eq!(status.nodes_spare, Some(0), "{}", cluster.seen());
    let words = refused(&cluster, &["switchover"]);
    assert!(words.contains("fenced"), "{words}");

    cluster.howdah_ok(&["unfence", &standby]);
    cluster.wait_whole();
    assert_eq!(cluster.status().nodes_spare, Some(1), "{}", cluster.seen());
    let journal = client.stop_and_check();
    let gap = journal.longest_gap(asked).expect("rows").length;
    assert!(gap < BLOCKED_MAX, "no row for {gap:?}\n{}", journal.last_errors());
}

/// The restart has happened, and the agent dies before it could say so.
#[test]
fn an_order_is_carried_out_once_although_the_agent_dies_over_it() {
    let cluster = three().start();
    let standby = cluster.standbys()[0];
    let before = standby.postmaster_pid();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| cluster.howdah(&["restart", &standby.name]));
        let restarted = || standby.postmaster_pid().filter(|pid| Some(*pid) != before);
        let after = cluster.wait_for("its server was started anew", SOON, restarted);
        standby.kill9_agent();
        standby.start();
        asked.join().expect("asked");
        cluster.wait_whole();
        let stays = wait::stays(Duration::from_secs(3), || standby.postmaster_pid() == Some(after));
        assert!(stays, "restarted once: {before:?} {after} {:?}", standby.postmaster_pid());
    });
    assert!(standby.own_status().expect("a status").order.is_none(), "the order is gone");

    let words = refused(&cluster, &["restart", &standby.name, "--role", "primary"]);
    assert!(words.contains("it is a standby"), "{words}");
}

#[test]
fn what_a_switchover_would_meet_is_in_the_status() {
    let cluster =
        three().parameter("archive_mode", "on").parameter("archive_command", "/bin/false").start();
    let primary = cluster.primary();
    let old = primary.name.clone();
    let said = |what: &str| {
        let checks = cluster.status().switchover;
        checks.into_iter().find(|check| check.what == what).map(|check| (check.verdict, check.said))
    };
    let fine = |what: &str| said(what).is_some_and(|(verdict, _)| verdict == Verdict::Fine);
    assert!(fine("leader") && fine("candidate"), "{:?}", cluster.status().switchover);
    primary
        .sql("SELECT pg_switch_wal() FROM pg_create_restore_point('a')")
        .expect("a new WAL file");
    cluster.wait_for("the archive's failure is known", SOON, || {
        let (verdict, words) = said("archive")?;
        (verdict == Verdict::Warns && words.contains("archiving fails")).then_some(())
    });
    std::thread::scope(|scope| {
        scope.spawn(|| primary.sql("SELECT pg_sleep(14)"));
        cluster.wait_for("the long transaction is known", SOON, || said("transactions"));
    });
    // A warning prevents nothing.
    cluster.howdah_ok(&["switchover"]);
    cluster.wait_for_other_primary(&old, SOON);
    cluster.wait_whole();
}

#[test]
fn a_standby_whose_receiver_is_frozen_does_not_count_as_streaming() {
    let cluster = three().start();
    let standby = cluster.standbys()[0];
    let receiver = standby.wal_receiver_pid().expect("it receives");
    process::signal(receiver, Signal::SIGSTOP);
    cluster.wait_for("the status says so", SOON, || {
        let own = standby.own_status().ok()?;
        let said = own.problems.iter().any(|problem| problem.contains("heard nothing"));
        (said && own.state == ServerState::Standby && own.not_switchable.is_some()).then_some(())
    });
    process::signal(receiver, Signal::SIGCONT);
    cluster.wait_whole();
}

#[test]
fn restarts_planned_for_one_moment_come_one_after_the_other_and_hold_nothing_else_up() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    let (primary, term) = (cluster.primary(), cluster.status().term);
    let pids = || -> Vec<_> { cluster.nodes().iter().map(|node| node.postmaster_pid()).collect() };

    // What is planned stands beside what is done at once.
    cluster.howdah_ok(&["restart", "--at", "+1h"]);
    let standby = cluster.standbys()[0].name.clone();
    let words = refused(&cluster, &["restart", &standby, "--at", "+2h"]);
    assert!(words.contains("planned already"), "{words}");
    let said = cluster.howdah_ok(&["reload"]);
    assert!(cluster.nodes().iter().all(|node| said.contains(&node.name)), "{said}");
    cluster.howdah_ok(&["restart", &standby]);
    cluster.wait_whole();
    cluster.howdah_ok(&["restart", "--cancel"]);
    let words = refused(&cluster, &["restart", "--cancel"]);
    assert!(words.contains("no restart is planned"), "{words}");

    let (before, asked) = (pids(), Instant::now());
    cluster.howdah_ok(&["restart", "--at", "+2s"]);
    cluster.wait_for(
        "each has been restarted, and none is planned",
        Duration::from_secs(120),
        || {
            let status = primary.status().ok()?;
            let none =
                status.nodes.iter().all(|node| node.restart.is_none() && node.order.is_none());
            (none && before.iter().zip(pids()).all(|(b, a)| *b != a)).then_some(())
        },
    );
    cluster.wait_whole();
    assert_eq!((&cluster.primary().name, cluster.status().term), (&primary.name, term));
    let log = primary.log_text();
    let told: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("the planned restart of "))
        .map(|(_, what)| what.trim_end())
        .collect();
    let mut order: Vec<&str> = cluster.standbys().iter().map(|node| &*node.name).collect();
    order.sort_unstable();
    order.push(&primary.name);
    let wanted: Vec<String> = order
        .iter()
        .flat_map(|node| [format!("{node} is begun"), format!("{node} is done")])
        .collect();
    assert_eq!(told, wanted, "one after the other, the primary last");
    let journal = client.stop_and_check();
    let gap = journal.longest_gap(asked).expect("rows").length;
    assert!(gap < GAP_MAX, "no row for {gap:?}\n{}", journal.last_errors());
}

/// One server is down: the others are reloaded, and the answer says who was not.
#[test]
fn a_reload_names_who_was_reloaded_and_who_was_not() {
    let cluster = three().start();
    let standby = cluster.standbys()[0].name.clone();
    cluster.howdah_ok(&["fence", &standby]);
    cluster.wait_for("its server is down", SOON, || {
        (cluster.node(&standby).state() == Some(ServerState::Stopped)).then_some(())
    });
    let said = cluster.howdah_ok(&["reload"]);
    let (done, rest) = said.split_once("; not running").expect("both are named");
    assert!(rest.contains(&standby) && !done.contains(&standby), "{said}");
    assert!(done.contains(&cluster.primary().name), "{said}");
    let words = refused(&cluster, &["reload", &standby]);
    assert!(words.contains(&standby) && words.contains("does not run"), "{words}");
    cluster.howdah_ok(&["unfence", &standby]);
    cluster.wait_whole();
}

#[test]
fn files_are_read_anew_by_order() {
    let cluster = three().start();
    let loaded = || -> Vec<String> {
        let sql = "SELECT pg_conf_load_time()";
        cluster.nodes().iter().map(|node| node.sql(sql).expect("a time")).collect()
    };
    let before = loaded();
    cluster.howdah_ok(&["reload"]);
    let after = loaded();
    assert!(before.iter().zip(&after).all(|(b, a)| b != a), "{before:?} {after:?}");
}
