//! A backup that stores what has changed.

use std::collections::BTreeMap;
use std::fs;

use howdah_archive::proof::{self, Fault, Found, Proof, Verified};
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
fn a_backup_that_cannot_be_restored_is_not_built_on() {
    majors::each(|mut node| {
        node.start();
        let place = Place::of(&node);
        let _ships = place.ships(&node);
        node.query("create table t as select g from generate_series(1, 20000) g");
        let base = |label: &str| place.backs_up(&node, label).about.base;
        assert_eq!((base("first"), base("second").as_deref()), (None, Some("first")));
        let folder = place.folder.join("0000000000000003/backups");
        let (pack, away) = (folder.join("first/pack-0"), folder.join("away"));
        fs::rename(&pack, &away).expect("taken away");
        assert_eq!(base("third"), None, "both lack a pack");
        assert_eq!(base("fourth").as_deref(), Some("third"));
        fs::rename(&away, &pack).expect("put back");
        // What a verification has found counts, whichever backup it was of.
        let object = "0000000000000003/backups/third/pack-0".to_owned();
        let text = String::new;
        let fault = Fault { object, what: text(), means: text(), next: text() };
        let found = Verified { faults: vec![fault], faults_total: 1, ..Verified::default() };
        let proof = Proof { at_ms: 1, by: "n1".to_owned(), found: Found::Verified(found) };
        let third = "third".parse().expect("a label");
        place.runtime.block_on(proof::keep(&place.lineage, &third, &proof)).expect("kept");
        assert_eq!(base("fifth").as_deref(), Some("second"));
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
