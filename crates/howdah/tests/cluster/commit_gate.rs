//! A commit is not seen by anybody before it is confirmed, also when the primary crashes in
//! between and PostgreSQL itself would show it; and what a backend does without its postmaster is
//! never acknowledged, or never lost.

use std::time::Duration;

use howdah_testkit::{Cluster, Plan, Setup, Writer, process, writer};
use nix::sys::signal::Signal;

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

const TABLE: &str = "CREATE TABLE gate (n int PRIMARY KEY)";
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' \
                       AND query LIKE 'INSERT INTO gate%'";
/// So long the restarted primary is watched while nobody confirms.
const WATCHED: Duration = Duration::from_secs(12);

/// Every way in for a client: each node's endpoints, each server itself.
fn ways_in(cluster: &Cluster) -> Vec<Plan> {
    let kinds = [
        cluster.hosts(|ports| ports.rw),
        cluster.hosts(|ports| ports.ro),
        cluster.hosts(|ports| ports.any),
        cluster.hosts(|ports| ports.postgres),
    ];
    let to = |host| Plan { connect_bound: Duration::from_millis(300), ..Plan::to(vec![host]) };
    kinds.into_iter().flatten().map(to).collect()
}

#[test]
pub fn a_row_that_waits_for_confirmation_at_the_crash_is_not_seen_before_it_is_confirmed() {
    // Without it the leader goes on alone after ten seconds, and says so in the record.
    let cluster = three().set("", "strict", "true").start();
    writer::query(&cluster.plan(), TABLE).expect("a table");
    cluster.wait_whole();
    let old = cluster.primary();
    let before = old.postmaster_pid();
    let standbys = cluster.standbys();
    let receivers: Vec<i32> = standbys.iter().filter_map(|node| node.wal_receiver_pid()).collect();
    assert_eq!(receivers.len(), 2, "{}", cluster.seen());
    for receiver in &receivers {
        process::signal(*receiver, Signal::SIGSTOP);
    }
    let plan = cluster.plan();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| writer::query(&plan, "INSERT INTO gate VALUES (1)"));
        cluster.wait_for("the commit waits", Duration::from_secs(20), || {
            (old.sql(WAITING).ok()? == "1").then_some(())
        });
        old.kill9_postmaster();
        let told = asked.join().expect("asked");
        assert!(told.is_err(), "nobody has confirmed it: {told:?}");
    });
    // PostgreSQL has recovered it: its own superuser, over the agent's socket, sees it.
    cluster.wait_for("the server is up again, with the row", TAKEOVER_WITHIN, || {
        old.postmaster_pid().filter(|pid| Some(*pid) != before)?;
        (old.sql_in("app", "SELECT count(*) FROM gate").ok()? == "1").then_some(())
    });
    let ways = ways_in(&cluster);
    let seen = howdah_testkit::wait::found_within(WATCHED, || {
        let rows = |plan: &Plan| writer::query(plan, "SELECT n FROM gate").ok();
        ways.iter().find(|plan| rows(plan).is_some_and(|rows| !rows.is_empty()))
    });
    assert!(seen.is_none(), "seen through {seen:?}\n{}", cluster.seen());

    for receiver in &receivers {
        process::signal(*receiver, Signal::SIGCONT);
    }
    cluster.wait_whole();
    let rows = writer::query(&cluster.plan(), "SELECT n FROM gate").expect("an answer");
    assert_eq!(rows, ["1"], "confirmed now, and there");
}

#[test]
pub fn postmaster_killed_with_a_busy_backend_in_quorum_its_commit_is_not_lost() {
    busy(three());
}

#[test]
pub fn postmaster_killed_with_a_busy_backend_in_async_its_commit_is_not_lost() {
    busy(three().asynchronous());
}

/// Five seconds in which it looks at no signal and no socket, then it inserts and commits.
const BUSY: &str = "DO $$ DECLARE begun timestamptz := clock_timestamp(); BEGIN \
     WHILE clock_timestamp() < begun + interval '5 s' LOOP PERFORM 1; END LOOP; END $$; \
     INSERT INTO gate VALUES (2)";

fn busy(setup: Setup) {
    let cluster = setup.start();
    writer::query(&cluster.plan(), TABLE).expect("a table");
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    let old = cluster.primary();
    let direct = cluster.plan_direct(old);
    let told = std::thread::scope(|scope| {
        let asked = scope.spawn(|| writer::query(&direct, BUSY));
        cluster.wait_for("the backend is busy", Duration::from_secs(20), || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' \
                       AND state = 'active' AND backend_type = 'client backend'";
            (old.sql(sql).ok()? == "1").then_some(())
        });
        old.kill9_postmaster();
        asked.join().expect("asked")
    });
    client.wait_for_rows(50, ROWS_WITHIN);
    cluster.wait_whole();
    let rows = writer::query(&cluster.plan(), "SELECT n FROM gate").expect("an answer");
    assert!(told.is_err() || rows == ["2"], "acknowledged and lost: {told:?} {rows:?}");
    client.stop_and_check();
}
