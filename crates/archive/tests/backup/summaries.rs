//! On servers that summarize their WAL, what it does not tell of is not read; and what has changed
//! nevertheless is found.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use howdah_archive::restore::plan::Target;
use howdah_repo::manifest::{Content, Manifest};
use howdah_repo::name::Label;
use howdah_testkit::{PgNode, majors};

use crate::place::{Place, check, content, options};

/// Servers of 17 and newer, as far as they are here.
fn each(story: impl Fn(PgNode)) {
    let found: Vec<PathBuf> = [17, 18].into_iter().filter_map(majors::programs).collect();
    assert!(!found.is_empty(), "no PostgreSQL that summarizes WAL is here");
    for programs in found {
        let mut node = PgNode::of(&programs);
        node.set("summarize_wal = on\nwal_log_hints = on\nautovacuum = off").start();
        story(node);
    }
}

fn manifest(place: &Place, label: &str) -> Manifest {
    let label: Label = label.parse().expect("a label");
    place.runtime.block_on(place.lineage.get_manifest(&label)).expect("there")
}

/// Path, size and hash of each large file of a table or an index.
fn relations(manifest: &Manifest) -> BTreeMap<String, (u64, [u8; 32])> {
    let relation = |path: &str| !path.ends_with("_fsm") && !path.ends_with("_vm");
    let files = manifest.files.iter().filter(|file| matches!(file.content, Content::Pages(_)));
    let files = files.filter(|file| relation(&file.path));
    files.map(|file| (file.path.clone(), (file.size, file.hash))).collect()
}

fn table(node: &PgNode, name: &str, rows: u32, at: &str) {
    let made = format!("create table {name} {at} as select g a, repeat(md5(g::text), 8) b");
    node.query(&format!("{made} from generate_series(1, {rows}) g"));
    node.query(&format!("create index on {name} (a)"));
}

/// Everything that takes a file's content away, or brings another, on its own way.
fn changes(node: &PgNode, far: &str) {
    node.query("update changed set a = a + 1 where a % 5000 = 0");
    node.query("drop table dropped");
    node.query("truncate cut");
    node.query("insert into cut select g, 'x' from generate_series(1, 5000) g");
    node.query("delete from short where a > 20000");
    node.query("vacuum short");
    node.query("vacuum full anew");
    table(node, "late", 20000, "");
    node.query(&format!("create tablespace far location '{far}'"));
    table(node, "away", 20000, "tablespace far");
    node.query("create database logged template shop strategy wal_log");
    node.query("create database copied template shop strategy file_copy");
    // Hint bits, which this is the first to set.
    node.query("select count(*) from hinted");
    node.query("alter database moved set tablespace far");
}

const TABLES: [&str; 8] = ["quiet", "changed", "cut", "short", "anew", "late", "away", "hinted"];

#[test]
fn an_incremental_by_summaries_is_what_a_full_one_is() {
    each(|node| {
        let place = Place::of(&node);
        let ships = place.ships(&node);
        for name in ["quiet", "changed", "dropped", "cut", "short", "anew", "hinted"] {
            table(&node, name, 30_000, "");
        }
        for name in ["quiet", "changed", "short"] {
            node.query(&format!("vacuum (freeze) {name}"));
        }
        node.query("create database shop");
        node.query("create database moved");
        assert!(!place.backs_up(&node, "first").by_summaries);
        let far = place.folder_for_servers("far").display().to_string();
        changes(&node, &far);
        node.query("checkpoint");
        let second = place.backs_up(&node, "second");
        assert!(second.by_summaries && second.silent_changes.is_empty(), "{second:?}");
        // Nothing is written any more: byte for byte what is read in full.
        let mut full = options("full");
        full.incremental = false;
        place.tries(&node, &full).expect("taken");
        let (by_summaries, in_full) = (manifest(&place, "second"), manifest(&place, "full"));
        let (ours, theirs) = (relations(&by_summaries), relations(&in_full));
        let names: Vec<_> = ours.keys().collect();
        assert_eq!(names, theirs.keys().collect::<Vec<_>>());
        let differ: Vec<_> = ours.iter().filter(|(path, of)| theirs[*path] != **of).collect();
        assert!(differ.is_empty(), "{differ:?}");
        // And the same as by sums.
        let mut sums = options("sums");
        sums.summaries = false;
        assert!(!place.tries(&node, &sums).expect("taken").by_summaries);
        let rows = content(&node, &TABLES);
        place.reaches(&ships, &node);
        let moved = place.folder_for_servers("elsewhere");
        let oid = second.about.tablespaces[0].oid;
        let tablespaces = BTreeMap::from([(oid, moved)]);
        let restored = place.server(&node, "second", tablespaces, Target::Latest);
        assert_eq!(content(&restored, &TABLES), rows);
        check(restored);
    });
}

#[test]
fn a_page_that_changes_without_wal_is_found_told_and_stored() {
    each(|mut node| {
        let place = Place::of(&node);
        let _ships = place.ships(&node);
        table(&node, "quiet", 30_000, "");
        node.query("vacuum (freeze) quiet");
        let path = node.query("select pg_relation_filepath('quiet')").remove(0);
        place.backs_up(&node, "first");
        node.stop();
        let file = fs::File::options().write(true).open(node.data_dir().join(&path));
        // In the middle of what rows hold; its LSN and all else are as they were.
        file.expect("there").write_all_at(b"!", 700 * 8192 + 6000).expect("written");
        node.start();
        let mut options = options("second");
        options.audit_percent = 100;
        let report = place.tries(&node, &options).expect("taken");
        assert!(report.by_summaries);
        let found: Vec<_> = report.silent_changes.iter().map(|bad| (&bad.path, bad.page)).collect();
        assert_eq!(found, [(&path, 700)]);
        let stored = manifest(&place, "second");
        let stored = stored.files.iter().find(|file| file.path == path).expect("listed");
        let bytes = fs::read(node.data_dir().join(&path)).expect("there");
        assert_eq!(stored.hash, howdah_repo::pack::hash(&bytes));
    });
}
