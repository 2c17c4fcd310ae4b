//! Whole machines are lost, each with its member of etcd.

use std::time::Duration;

use howdah_testkit::{Store, Writer};

use super::{make_leader, members};
use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

#[test]
fn the_lost_host_had_the_primary_and_led_etcd() {
    let cluster = three().on(Store::Etcd).start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let old = cluster.primary();
    make_leader(&cluster, old);
    let term = cluster.status().term;
    old.kill9_everything();
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    client.wait_for_rows(100, ROWS_WITHIN);
    assert!(new.status().expect("a status").term > term, "a new primary has a new term");
    old.start();
    cluster.wait_whole();
    client.stop_and_check();
    assert_eq!(members(&cluster), ["n1", "n2", "n3"]);
}

/// Without a majority nobody may write: the primary ends by itself, and comes back with the
/// second machine. Nothing that was acknowledged is lost.
#[test]
fn two_of_three_hosts_lost_and_the_primary_waits_for_one_to_come_back() {
    let cluster = three().on(Store::Etcd).lease("4s").start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let primary = cluster.primary();
    let lost = cluster.standbys();
    for standby in &lost {
        standby.kill9_everything();
    }
    cluster.wait_for("no process of the primary's server is left", TAKEOVER_WITHIN, || {
        primary.server_processes().is_empty().then_some(())
    });
    cluster.wait_for("it says that it is no primary", TAKEOVER_WITHIN, || {
        (primary.health("/primary") == Some(503)).then_some(())
    });
    lost[0].start();
    client.wait_for_rows(100, TAKEOVER_WITHIN);
    lost[1].start();
    cluster.wait_whole();
    client.stop_and_check();
}

/// What the last machine has becomes the store by an operator's order, and new machines join it.
#[test]
fn two_of_three_machines_burn_and_the_third_goes_on_by_order() {
    let cluster = three().on(Store::Etcd).lease("4s").start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let primary = cluster.primary();
    let lost = cluster.standbys();
    for standby in &lost {
        standby.kill9_everything();
        let home = standby.data_dir.parent().expect("a parent");
        std::fs::remove_dir_all(home).expect("burnt");
    }
    cluster.wait_for("no process of the primary's server is left", TAKEOVER_WITHIN, || {
        primary.server_processes().is_empty().then_some(())
    });
    cluster.howdah_ok(&["recover-store", "--node", &primary.name, "--yes"]);
    client.wait_for_rows(100, TAKEOVER_WITHIN);
    assert_eq!(members(&cluster), std::slice::from_ref(&primary.name));
    cluster.howdah_ok(&["prepare"]);
    for standby in &lost {
        standby.start();
    }
    cluster.wait_whole();
    cluster.wait_for("all members are back", TAKEOVER_WITHIN, || {
        (members(&cluster) == ["n1", "n2", "n3"]).then_some(())
    });
    client.stop_and_check();
}

/// Under a primary whose own etcd dies, hangs or is led by another, nothing happens at all.
#[test]
fn the_primarys_own_etcd_dies_and_hangs_and_nobody_notices() {
    let cluster = three().on(Store::Etcd).start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let primary = cluster.primary();
    let (term, server) = (cluster.status().term, primary.postmaster_pid());
    make_leader(&cluster, primary);
    let first = Some(primary.etcd_there());
    primary.kill9_etcd();
    cluster.wait_for("another etcd runs", TAKEOVER_WITHIN, || {
        primary.etcd_pid().filter(|pid| Some(*pid) != first)
    });
    client.wait_for_rows(100, ROWS_WITHIN);
    make_leader(&cluster, primary);
    let struck = std::time::Instant::now();
    primary.freeze_etcd();
    client.wait_for_rows(300, ROWS_WITHIN);
    // Longer than a lease.
    let stays =
        howdah_testkit::wait::stays(Duration::from_secs(8), || primary.postmaster_pid() == server);
    assert!(stays, "{}", cluster.seen());
    primary.thaw_etcd();
    cluster.wait_whole();
    assert_eq!((cluster.status().term, primary.postmaster_pid()), (term, server));
    let journal = client.stop_and_check();
    let gap = journal.longest_gap(struck).expect("rows").length;
    assert!(gap < Duration::from_secs(2), "writes do not wait for the store; no row for {gap:?}");
}
