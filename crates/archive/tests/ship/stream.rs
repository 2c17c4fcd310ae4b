//! As it is written, over crashes, outages of the storage, and promotions.

use std::time::{Duration, Instant};

use howdah_base::{Lsn, Timeline};
use howdah_testkit::{Load, majors, wait};

use crate::place::{Place, compare, lsn};

const FLUSHED: &str = "select pg_current_wal_flush_lsn()";

#[test]
fn wal_is_there_soon_and_is_what_the_server_wrote() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let place = Place::new();
        let ships = place.ships(&node);
        place.until(&ships, "it has begun", |shipped| shipped.server > Lsn(0));
        let from = lsn(&node, FLUSHED);
        node.query("create table t as select g from generate_series(1, 300000) g");
        let begun = Instant::now();
        let end = lsn(&node, FLUSHED);
        place.reaches(&ships, end);
        // A second after it was written, with room for a slow machine.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(compare(&place, &node, 1, from, end) >= 1);
        let slot =
            "select restart_lsn from pg_replication_slots where slot_name = 'archive_howdah'";
        let freed = || (lsn(&node, slot) >= end).then_some(());
        wait::until("the slot lets go", Duration::from_secs(20), freed, || {
            node.query(slot).join(" ")
        });
        ships.ends();
    });
}

#[test]
fn an_outage_of_the_storage_is_told_and_nothing_is_lost() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let place = Place::new();
        let ships = place.ships(&node);
        let from = lsn(&node, FLUSHED);
        node.query("create table t (a int)");
        place.reaches(&ships, lsn(&node, FLUSHED));
        place.goes_away();
        let load = Load::on(&node, 6);
        place.until(&ships, "trouble is told", |shipped| shipped.trouble.is_some());
        let before = ships.sees.borrow().durable;
        load.ends();
        place.comes_back();
        let end = lsn(&node, FLUSHED);
        let after = place.reaches(&ships, end);
        assert!(after.durable != before && after.trouble.is_none(), "{after:?}");
        assert!(compare(&place, &node, 1, from, end) >= 1);
        ships.ends();
    });
}

#[test]
fn a_crash_and_a_promotion_are_followed() {
    majors::each(|mut node| {
        node.start();
        let mut standby = node.standby();
        standby.set("wal_keep_size = '1GB'").start();
        let place = Place::new();
        let ships = place.ships(&node);
        node.query("create table t as select g from generate_series(1, 50000) g");
        let end = lsn(&node, FLUSHED);
        place.reaches(&ships, end);
        node.kill9();
        place.until(&ships, "it is told", |shipped| shipped.trouble.is_some());
        node.start();
        node.query("insert into t select g from generate_series(1, 50000) g");
        let end = lsn(&node, FLUSHED);
        place.reaches(&ships, end);
        let replayed = format!("select pg_last_wal_replay_lsn() >= '{end}'");
        let there = || (standby.query(&replayed) == ["t"]).then_some(());
        wait::until("the standby is there", Duration::from_secs(30), there, String::new);
        ships.ends();
        node.stop();
        standby.query("select pg_promote()");
        // The next primary's node goes on, where the repository ends.
        let ships = place.ships(&standby);
        standby.query("create table u as select g from generate_series(1, 300000) g");
        let end = lsn(&standby, FLUSHED);
        let shipped = place.reaches(&ships, end);
        assert_eq!(shipped.durable.map(|at| at.timeline), Some(Timeline(2)));
        compare(&place, &standby, 2, Lsn(end.0 - 1), end);
        let history = place.runtime.block_on(place.lineage.get_history(Timeline(2)));
        let file = std::fs::read(standby.data_dir().join("pg_wal/00000002.history"));
        assert_eq!(history.expect("kept"), file.expect("written"));
        ships.ends();
    });
}
