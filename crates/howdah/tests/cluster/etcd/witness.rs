//! Two nodes with data and a witness: any one of the three may be lost.

use howdah_testkit::{Cluster, Store, Writer};

use super::members;
use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

fn two_and_a_witness() -> Cluster {
    three().on(Store::Etcd).witness("n3").start()
}

#[test]
fn the_primary_is_lost_and_the_standby_takes_over() {
    let cluster = two_and_a_witness();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let old = cluster.primary();
    old.kill9_everything();
    cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    client.wait_for_rows(100, TAKEOVER_WITHIN);
    old.start();
    cluster.wait_whole();
    client.stop_and_check();
}

#[test]
fn the_standby_is_lost_and_the_primary_goes_on() {
    let cluster = two_and_a_witness();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let (primary, term) = (cluster.primary(), cluster.status().term);
    let other = cluster.nodes().iter().find(|n| n.name != primary.name && n.name != "n3");
    let lost = other.expect("a standby");
    lost.kill9_everything();
    client.wait_for_rows(100, TAKEOVER_WITHIN);
    lost.start();
    cluster.wait_whole();
    assert_eq!((cluster.status().term, &cluster.primary().name), (term, &primary.name));
    client.stop_and_check();
}

#[test]
fn the_witness_is_lost_and_nobody_notices_and_it_comes_back_without_its_disk() {
    let cluster = two_and_a_witness();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let (primary, term) = (cluster.primary().name.clone(), cluster.status().term);
    let witness = cluster.node("n3");
    assert!(!witness.data_dir.exists(), "no folder for data");
    assert_eq!(witness.health("/primary"), Some(503));
    assert_eq!(witness.health("/replica"), Some(503));
    assert_eq!(witness.health("/health"), Some(503));
    assert_eq!(witness.health("/liveness"), Some(200));
    witness.kill9_everything();
    client.wait_for_rows(100, ROWS_WITHIN);
    let home = witness.state_dir.parent().expect("a parent");
    std::fs::remove_dir_all(home).expect("its disk is gone");
    cluster.howdah_ok(&["prepare"]);
    witness.start();
    cluster.wait_whole();
    assert_eq!((cluster.status().term, cluster.primary().name.clone()), (term, primary));
    cluster.wait_for("its member is a new one", TAKEOVER_WITHIN, || {
        (members(&cluster) == ["n1", "n2", "n3"]).then_some(())
    });
    client.stop_and_check();
}

/// Clients that come to the witness are led to the primary.
#[test]
fn the_witness_leads_clients_to_the_primary() {
    let cluster = two_and_a_witness();
    let host = cluster.hosts(|ports| ports.rw).pop().expect("the witness is the last");
    let plan = howdah_testkit::Plan::to(vec![host]);
    let answer = howdah_testkit::writer::query(&plan, "SHOW transaction_read_only");
    assert_eq!(answer.expect("let in"), ["off"]);
    cluster.howdah_ok(&["switchover"]);
    cluster.wait_whole();
    let answer = howdah_testkit::writer::query(&plan, "SHOW transaction_read_only");
    assert_eq!(answer.expect("let in"), ["off"]);
}
