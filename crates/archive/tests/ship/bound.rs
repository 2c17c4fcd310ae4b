//! What is lost for good, and told: a slot that the server gave up, and a disk that lost what it had
//! promised to keep.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use howdah_archive::ship::open_gap;
use howdah_base::{Lsn, Timeline, WalFile};
use howdah_testkit::{PgNode, majors, wait};

use crate::place::{Place, compare, lsn};

const FLUSHED: &str = "select pg_current_wal_flush_lsn()";
const SEGMENT: u64 = 16 << 20;
const SOON: Duration = Duration::from_secs(40);

fn writes(node: &PgNode, megabytes: u32) {
    for _ in 0..megabytes {
        node.query("select pg_logical_emit_message(false, 'a', repeat('x', 1000000))");
    }
    node.query("select pg_logical_emit_message(true, 'a', 'end')");
}

fn gap(place: &Place) -> Option<(Timeline, Lsn, Lsn)> {
    let gap = place.runtime.block_on(open_gap(&place.lineage)).expect("asked");
    gap.map(|gap| (gap.timeline, gap.from, gap.to))
}

#[test]
fn a_repository_that_is_away_costs_the_server_no_more_than_the_bound() {
    majors::each(|mut node| {
        node.set("max_slot_wal_keep_size = '48MB'\nmax_wal_size = '64MB'\nmin_wal_size = '32MB'");
        node.set("wal_keep_size = 0").start();
        let place = Place::of(&node);
        let ships = place.ships(&node);
        node.query("create table t (a int)");
        let kept = lsn(&node, FLUSHED);
        place.reaches(&ships, kept);
        place.goes_away();
        for _ in 0..5 {
            writes(&node, 30);
            node.query("checkpoint");
        }
        let held = "select (sum(size) / 1048576)::int from pg_ls_waldir()";
        let bounded = || {
            node.query("checkpoint");
            let held: u32 = node.query(held)[0].parse().expect("a number");
            (held <= 48 + 64 + 32).then_some(())
        };
        wait::until("the disk is not filled", SOON, bounded, || node.query(held).join(" "));
        place.until(&ships, "it is told", |shipped| shipped.trouble.is_some());
        place.comes_back();
        node.query("insert into t select generate_series(1, 1000)");
        let end = lsn(&node, FLUSHED);
        let shipped = place.reaches(&ships, end);
        assert!(shipped.trouble.is_none(), "{shipped:?}");
        let (timeline, from, to) = gap(&place).expect("a gap is recorded");
        assert_eq!(timeline, Timeline(1));
        assert!(from >= kept && to > from && to <= end, "{kept} {from} {to} {end}");
        // What was lost is behind; from there on all is there.
        is_there(&place, to, end);
        writes(&node, 20);
        let end = lsn(&node, FLUSHED);
        place.reaches(&ships, end);
        is_there(&place, to, end);
        ships.ends();
    });
}

/// All of it; the server itself no longer has some.
fn is_there(place: &Place, from: Lsn, to: Lsn) {
    for name in WalFile::between(Timeline(1), from, to, SEGMENT) {
        let start = name.start(SEGMENT).expect("a segment");
        let len = place.segment(1, start).len() as u64;
        assert!(start.0 + len >= to.0.min(start.0 + SEGMENT), "{name}: {len}");
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

#[test]
fn a_server_that_lost_what_it_had_flushed_is_found_out_and_goes_on_behind_a_gap() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let place = Place::of(&node);
        let ships = place.ships(&node);
        node.query("create table t (a int)");
        node.query("select pg_switch_wal()");
        writes(&node, 1);
        place.reaches(&ships, lsn(&node, FLUSHED));
        ships.ends();
        node.stop();
        let (data_dir, before) =
            (node.data_dir().to_owned(), node.data_dir().with_extension("old"));
        copy(&data_dir, &before);
        node.start();
        let ships = place.ships(&node);
        writes(&node, 3);
        let kept = lsn(&node, FLUSHED);
        place.reaches(&ships, kept);
        let was = place.segment(1, kept);
        ships.ends();
        node.kill9();
        // The disk forgets, and other WAL is written in its place.
        std::fs::remove_dir_all(&data_dir).expect("removed");
        std::fs::rename(&before, &data_dir).expect("renamed");
        node.start();
        node.query("insert into t select generate_series(1, 100)");
        let ships = place.ships(&node);
        place.until(&ships, "it is behind", |shipped| {
            shipped.trouble.as_ref().is_some_and(|(why, _)| why.contains("before the repository"))
        });
        writes(&node, 6);
        place.until(&ships, "it is found out", |shipped| {
            shipped.trouble.as_ref().is_some_and(|(why, _)| why.contains("other WAL on timeline 1"))
        });
        let (_, from, to) = gap(&place).expect("a gap is recorded");
        assert!(from >= kept && to.0 == (kept.0 / SEGMENT + 1) * SEGMENT, "{kept} {from} {to}");
        assert!(place.segment(1, kept) == was, "what was acknowledged is there as it was");
        writes(&node, 20);
        let end = lsn(&node, FLUSHED);
        place.reaches(&ships, end);
        assert!(compare(&place, &node, 1, to, end) >= 1);
        ships.ends();
    });
}
