//! kill -9 of the primary's postmaster. Its disk is still there, so nothing that was
//! acknowledged may be lost, whatever the durability.

use std::time::Duration;

use howdah_testkit::{Setup, Writer};

use crate::{ROWS_WITHIN, three};

#[test]
pub fn postmaster_killed_in_quorum() {
    survives(three());
}

#[test]
pub fn postmaster_killed_in_async() {
    survives(three().asynchronous());
}

fn survives(setup: Setup) {
    let cluster = setup.start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(200, ROWS_WITHIN);

    let old = cluster.primary();
    let (before, term) = (old.postmaster_pid(), cluster.status().term);
    old.kill9_postmaster();
    cluster.wait_for("the dead server's processes are gone", Duration::from_secs(30), || {
        (old.postmaster_pid() != before).then_some(())
    });
    cluster.wait_whole();
    assert!(cluster.status().term >= term, "terms only rise");
    client.wait_for_rows(100, ROWS_WITHIN);
    client.stop_and_check();
}
