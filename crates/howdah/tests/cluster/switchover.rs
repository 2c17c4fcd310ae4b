//! An operator moves the primary while clients write.

use std::time::{Duration, Instant};

use howdah_testkit::{Setup, Writer};

use crate::{ROWS_WITHIN, three};

/// Far above what is measured (well under a second), far below a lease: a switchover that
/// waits for something to expire fails here.
const GAP_MAX: Duration = Duration::from_secs(5);

#[test]
pub fn switchover_under_load_in_quorum() {
    moves_and_moves_back(three());
}

#[test]
pub fn switchover_under_load_in_async_loses_nothing() {
    moves_and_moves_back(three().asynchronous());
}

fn moves_and_moves_back(setup: Setup) {
    let cluster = setup.start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(200, ROWS_WITHIN);
    let old = cluster.primary().name.clone();

    let asked = Instant::now();
    cluster.howdah_ok(&["switchover"]);
    let new = cluster.wait_for_other_primary(&old, Duration::from_secs(10)).name.clone();
    client.wait_for_rows(100, ROWS_WITHIN);
    cluster.wait_whole();

    cluster.howdah_ok(&["switchover", "--to", &old]);
    cluster.wait_for_other_primary(&new, Duration::from_secs(10));
    assert_eq!(cluster.primary().name, old, "to the node that was named");
    client.wait_for_rows(100, ROWS_WITHIN);
    cluster.wait_whole();

    let journal = client.stop_and_check();
    let gap = journal.longest_gap(asked).expect("rows").length;
    assert!(gap < GAP_MAX, "no row for {gap:?}\n{}\n{}", journal.last_errors(), cluster.seen());
}

#[test]
pub fn switchover_to_a_node_that_does_not_exist_is_refused_and_changes_nothing() {
    let cluster = three().start();
    let (primary, term) = (cluster.primary().name.clone(), cluster.status().term);
    let output = cluster.howdah(&["switchover", "--to", "n9"]);
    assert!(!output.status.success(), "refused");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("n9"), "{words}");
    assert_eq!((cluster.primary().name.clone(), cluster.status().term), (primary, term));
}
