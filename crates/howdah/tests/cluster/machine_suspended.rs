//! The primary's whole machine stands still (a suspend, a hypervisor's pause) for longer than its
//! lease, and goes on in the middle of everything: agent, guard, server and clients' sessions. Its
//! right to write has ended meanwhile; every row that its server still acknowledges is on the next
//! primary, and it comes back as a standby.

use std::time::Duration;

use howdah_testkit::{Writer, wait, writer};

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

/// Longer than the lease of these clusters.
const SUSPENDED: Duration = Duration::from_secs(6);
const ENDED_WITHIN: Duration = Duration::from_secs(20);

#[test]
pub fn a_machine_that_wakes_up_after_its_lease_adds_nothing_of_its_own() {
    let cluster = three().lease("4s").start();
    let old = cluster.primary();
    let server = old.postmaster_pid();
    let direct = Writer::start(cluster.plan_direct(old));
    let client = Writer::start_on_table(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    direct.wait_for_rows(100, ROWS_WITHIN);

    old.suspend();
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    let stays = wait::stays(SUSPENDED, || new.postmaster_pid().is_some());
    assert!(stays, "{}", cluster.seen());
    client.wait_for_rows(100, ROWS_WITHIN);
    old.resume();

    cluster.wait_for("the server that slept is ended", ENDED_WITHIN, || {
        (old.postmaster_pid() != server).then_some(())
    });
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, new.name, "{}", cluster.seen());
    client.stop_and_check();
    let journal = direct.stop();
    let present = writer::rows(&cluster.plan()).expect("read the rows back");
    assert_eq!(journal.missing_from(&present), [0_i64; 0], "acknowledged, and not on the primary");
}
