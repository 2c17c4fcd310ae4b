//! The client that all scenarios trust, on a bare server: it must notice what it is there to
//! notice, and not cry over what is allowed.

use std::time::Duration;

use howdah_testkit::{PgNode, Writer, writer};

const ROWS_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn server_killed_and_started_again_has_every_acknowledged_row() {
    let mut server = PgNode::init();
    server.start();
    let client = Writer::start(server.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let struck = std::time::Instant::now();
    server.kill9();
    server.start();
    client.wait_for_rows(100, ROWS_WITHIN);
    let journal = client.stop_and_check();
    assert!(!journal.errors.is_empty(), "the client noticed");
    let gap = journal.longest_gap(struck).expect("rows on both sides").length;
    assert!(gap > Duration::from_millis(50), "a restart is no instant: {gap:?}");
}

#[test]
fn frozen_server_makes_rows_unclear_and_not_acknowledged() {
    let mut server = PgNode::init();
    server.start();
    let mut plan = server.plan();
    plan.row_bound = Duration::from_millis(500);
    plan.connect_bound = Duration::from_millis(500);
    let client = Writer::start(plan);
    client.wait_for_rows(50, ROWS_WITHIN);
    server.freeze();
    howdah_testkit::wait::until(
        "a row is unclear",
        Duration::from_secs(10),
        || (!client.journal().unclear.is_empty()).then_some(()),
        || client.journal().last_errors(),
    );
    server.thaw();
    client.wait_for_rows(50, ROWS_WITHIN);
    let plan = server.plan();
    let journal = client.stop_and_check();
    let present = writer::rows(&plan).expect("read back");
    assert!(journal.unknown_in(&present).is_empty(), "an unclear row may be there: it was sent");
}

/// The planted bug: a row vanishes.
#[test]
#[should_panic(expected = "acknowledged rows are missing")]
fn lost_row_is_found() {
    let mut server = PgNode::init();
    server.start();
    let plan = server.plan();
    let client = Writer::start(plan.clone());
    client.wait_for_rows(20, ROWS_WITHIN);
    let steal = "DELETE FROM howdah_written WHERE n = (SELECT min(n) FROM howdah_written)";
    writer::query(&plan, steal).expect("stolen");
    client.stop_and_check();
}
