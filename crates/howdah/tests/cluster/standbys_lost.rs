//! Standbys are lost, the primary stays: commits go on, the status says what may still be
//! lost, and it is counted up again when they come back.

use std::time::Duration;

use howdah_testkit::{Store, Writer};

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

#[test]
pub fn one_standby_lost_hardly_anyone_notices() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let (primary, term) = (cluster.primary(), cluster.status().term);
    let struck = std::time::Instant::now();
    let lost = cluster.standbys()[0];
    lost.kill9_everything();
    client.wait_for_rows(300, ROWS_WITHIN);
    lost.start();
    cluster.wait_whole();
    assert_eq!((cluster.status().term, &cluster.primary().name), (term, &primary.name));
    let journal = client.stop_and_check();
    let gap = journal.longest_gap(struck).expect("rows").length;
    assert!(gap < Duration::from_secs(3), "the other standby confirms; no row for {gap:?}");
}

#[test]
pub fn both_standbys_lost_the_primary_stands_alone_and_goes_on() {
    if Store::usual() == Store::Etcd {
        // Two of three members of the store are lost: told in `etcd/hosts.rs`.
        return;
    }
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let primary = cluster.primary();
    let lost = cluster.standbys();
    for standby in &lost {
        standby.kill9_everything();
    }
    cluster.wait_for("the status says that nothing may be lost now", TAKEOVER_WITHIN, || {
        (primary.status().ok()?.nodes_spare == Some(0)).then_some(())
    });
    client.wait_for_rows(100, TAKEOVER_WITHIN);
    for standby in &lost {
        standby.start();
    }
    cluster.wait_whole();
    assert_eq!(cluster.status().nodes_spare, Some(1), "{}", cluster.seen());
    client.stop_and_check();
}

/// A standby that stays away stops being a voter, so that the loss of the primary after it is
/// survived too.
#[test]
pub fn a_standby_stays_away_then_the_primary_is_lost_too() {
    if Store::usual() == Store::Etcd {
        // Two of three members of the store are lost: told in `etcd/hosts.rs`.
        return;
    }
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let old = cluster.primary();
    let away = cluster.standbys()[0];
    away.kill9_everything();
    cluster.wait_for("the other standby is the only voter", Duration::from_secs(60), || {
        let status = old.status().ok()?;
        let voters = status.nodes.iter().filter(|n| n.voter).count();
        (voters == 1 && status.nodes_spare == Some(1)).then_some(())
    });
    old.kill9_everything();
    cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    client.wait_for_rows(100, TAKEOVER_WITHIN);
    away.start();
    old.start();
    cluster.wait_whole();
    client.stop_and_check();
}
