//! The primary's host is lost: agent, guard and PostgreSQL die in the same instant. Another
//! node takes over; the dead one comes back and follows it.

use howdah_testkit::{Cluster, Setup, Writer};

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

#[test]
pub fn host_lost_in_quorum_loses_no_acknowledged_row() {
    let (cluster, client) = lose_and_bring_back(three());
    client.stop_and_check();
    drop(cluster);
}

#[test]
pub fn host_lost_in_async_goes_on_and_heals() {
    let (cluster, client) = lose_and_bring_back(three().asynchronous());
    let plan = cluster.plan();
    let journal = client.stop();
    let present = howdah_testkit::writer::rows(&plan).expect("read the rows back");
    let missing = journal.missing_from(&present);
    assert!(
        missing.len() < 20,
        "only what was on its way may be missing, not {} rows: {missing:?}",
        missing.len()
    );
    assert!(journal.unknown_in(&present).is_empty(), "rows that nobody sent");
}

fn lose_and_bring_back(setup: Setup) -> (Cluster, Writer) {
    let cluster = setup.start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(200, ROWS_WITHIN);

    let old = cluster.primary();
    let term = cluster.status().term;
    old.kill9_everything();
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    client.wait_for_rows(100, ROWS_WITHIN);
    assert!(new.status().expect("a status").term > term, "a new primary has a new term");

    old.start();
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, new.name, "who comes back does not take over");
    client.wait_for_rows(100, ROWS_WITHIN);
    (cluster, client)
}
