//! A backup that stores what has changed.

use std::collections::BTreeMap;
use std::fs;

use howdah_archive::restore::plan::Target;
use howdah_testkit::majors;

use crate::place::{Place, check, content, options};

const TABLES: [&str; 3] = ["big", "other", "away"];

#[test]
fn few_changed_pages_cost_few_bytes_and_restore_as_a_full_backup_does() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'\nautovacuum = off").start();
        let place = Place::of(&node);
        let ships = place.ships(&node);
        let far = place.folder_for_servers("far");
        node.query(&format!("create tablespace far location '{}'", far.display()));
        for (table, at) in [("big", ""), ("other", ""), ("away", "tablespace far")] {
            let rows = "select g a, repeat(md5(g::text), 8) b from generate_series(1, 120000) g";
            node.query(&format!("create table {table} {at} as {rows}"));
        }
        node.query("vacuum (freeze) big, other, away");
        let full = place.backs_up(&node, "full").about.statistics;
        // In place on one page, at both ends of one table, and some at the end of another.
        node.query("update big set a = a + 1 where a in (1, 60000, 119990)");
        node.query("insert into other select g, 'x' from generate_series(1, 500) g");
        let report = place.backs_up(&node, "second");
        let second = report.about.statistics;
        assert_eq!(report.about.base.as_deref(), Some("full"));
        assert!(full.bytes > 100 << 20 && second.bytes > 100 << 20, "{full:?} {second:?}");
        assert_eq!((full.reused, full.new), (0, full.bytes));
        assert!(second.new < 8 << 20, "{second:?}");
        assert!(second.stored < full.stored / 5, "{full:?} {second:?}");
        node.query("delete from away where a > 110000");
        node.query("vacuum away");
        // Shorter than it was.
        let third = place.backs_up(&node, "third");
        assert_eq!(third.about.base.as_deref(), Some("second"));
        let before = content(&node, &TABLES);
        place.reaches(&ships, &node);
        let moved = place.folder_for_servers("moved");
        let tablespaces = BTreeMap::from([(third.about.tablespaces[0].oid, moved)]);
        let restored = place.server(&node, "third", tablespaces, Target::Latest);
        assert_eq!(content(&restored, &TABLES), before);
        check(restored);
        // Those that it goes on using are listed, and nothing of them was written anew.
        let packs =
            fs::read_dir(place.folder.join("0000000000000003/backups/third")).expect("there");
        assert!(packs.count() <= 4, "a pack, a map, a manifest");
    });
}

#[test]
fn a_full_one_can_be_asked_for() {
    majors::each(|mut node| {
        node.start();
        let place = Place::of(&node);
        let _ships = place.ships(&node);
        place.backs_up(&node, "first");
        let mut options = options("second");
        options.incremental = false;
        let about = place.tries(&node, &options).expect("taken").about;
        assert_eq!((about.base, about.statistics.reused), (None, 0));
    });
}
