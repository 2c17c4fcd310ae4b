//! Clients that open a connection for every row, through every node's `rw`, and repeat nothing:
//! whatever is planned, a connection may have to wait, and none is refused. A crash takes only
//! those with it whose password was being checked.

use std::time::Duration;

use howdah_testkit::newcomers::Account;
use howdah_testkit::{Cluster, Newcomers, writer};

use crate::three;

/// `connect_wait`, and as much again for a busy machine.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Clients of each node's endpoint.
const EACH: usize = 2;
const MORE_WITHIN: Duration = Duration::from_secs(60);

fn start(cluster: &Cluster) -> Newcomers {
    let mut plan = cluster.plan();
    plan.connect_bound = CONNECT_WITHIN;
    let table = format!("CREATE TABLE {} (n bigint PRIMARY KEY)", plan.table);
    cluster.wait_for("the table exists", MORE_WITHIN, || writer::query(&plan, &table).ok());
    let clients = Newcomers::start(plan, EACH);
    more(cluster, &clients);
    clients
}

/// Waits for more rows.
fn more(cluster: &Cluster, clients: &Newcomers) {
    let from = clients.account().acknowledged.len();
    cluster.wait_for("newcomers write", MORE_WITHIN, || {
        (clients.account().acknowledged.len() >= from + 100).then_some(())
    });
}

fn nobody_was_refused(clients: Newcomers) {
    let Account { connected, slowest, refused, failed, .. } = clients.stop_and_check();
    let number = refused.len();
    assert!(
        refused.is_empty(),
        "{number} connections were refused, {connected} taken, the slowest after {slowest:?}: \
         {refused:#?}\nrows that failed: {failed:?}"
    );
}

#[test]
pub fn newcomers_wait_through_switchovers_and_a_rolling_restart() {
    let cluster = three().start();
    let clients = start(&cluster);
    for _ in 0..3 {
        cluster.howdah_ok(&["switchover"]);
        more(&cluster, &clients);
        cluster.wait_whole();
    }
    cluster.howdah_ok(&["restart"]);
    more(&cluster, &clients);
    cluster.wait_whole();
    nobody_was_refused(clients);
}

#[test]
pub fn newcomers_wait_when_the_postmaster_is_killed() {
    let cluster = three().start();
    let clients = start(&cluster);
    let old = cluster.primary();
    let before = old.postmaster_pid();
    old.kill9_postmaster();
    cluster.wait_for("the dead server's processes are gone", MORE_WITHIN, || {
        (old.postmaster_pid() != before).then_some(())
    });
    more(&cluster, &clients);
    cluster.wait_whole();
    let refused = clients.stop_and_check().refused;
    // Each client may have had one password under way, and its server may have said that it dies.
    assert!(refused.len() <= EACH * cluster.nodes().len(), "{refused:#?}");
    let away = refused.iter().filter(|words| words.contains("57P03"));
    assert_eq!(away.count(), 0, "some were led to a server that takes nobody: {refused:#?}");
}
