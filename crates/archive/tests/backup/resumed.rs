//! A backup that was given up half-way has stored what the next one need not store again.

use std::collections::BTreeMap;
use std::fs;

use howdah_archive::restore::plan::Target;
use howdah_testkit::majors;

use crate::place::{Place, check, content, options};

/// Bytes of its packs of data.
fn packs(place: &Place, label: &str) -> u64 {
    let folder = place.folder.join(format!("0000000000000003/backups/{label}"));
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let packs = files.filter(|file| file.file_name().to_string_lossy().starts_with("pack-"));
    packs.map(|file| file.metadata().expect("there").len()).sum()
}

#[test]
fn what_was_stored_before_a_crash_is_not_stored_again() {
    majors::each(|mut node| {
        node.set("autovacuum = off").start();
        let place = Place::of(&node);
        let ships = place.ships(&node);
        // Nothing of it can be compressed.
        let words = "(select string_agg(sha512((random()::text || g || i)::bytea), '') \
             from generate_series(1, 15) i)";
        let rows = format!("select g, {words} w from generate_series(1, 180000) g");
        node.query(&format!("create table t as {rows}"));
        node.query("vacuum (freeze) t");
        // Two packs are written, the third is not.
        place.gives_up(&node, &options("first"), |progress| progress.stored > 90 << 20);
        let before = packs(&place, "first");
        assert!(before > 90 << 20 && place.labels().is_empty(), "{before}");
        // It goes on, although the server does, too.
        node.query("update t set g = g + 1 where g % 100000 = 7");
        let report = place.backs_up(&node, "second");
        let statistics = report.about.statistics;
        assert!(report.taken_over > 80 << 20, "{report:?}");
        let now = packs(&place, "second");
        assert!(now + (80 << 20) < statistics.stored, "{now} of {statistics:?}");
        let rows = content(&node, &["t"]);
        place.reaches(&ships, &node);
        let restored = place.server(&node, "second", BTreeMap::new(), Target::Latest);
        assert_eq!(content(&restored, &["t"]), rows);
        check(restored);
        // What a backup has found worth keeping is an earlier backup's now, and no full one's.
        let mut full = options("third");
        full.incremental = false;
        let third = place.tries(&node, &full).expect("taken");
        assert_eq!(third.taken_over, 0);
        assert!(packs(&place, "third") > now + (80 << 20));
    });
}
