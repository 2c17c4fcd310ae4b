//! A restore over what is left of a data directory: what is right stays, and an interrupted one is run
//! again.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use howdah_archive::restore::plan::Target;
use howdah_archive::restore::write::{Destination, Over, RestoreError};
use howdah_testkit::{PgNode, majors};

use crate::place::{Place, check, content, destination};

const OVER: Over = Over::Directory { force: false };

/// The file of a table, below the data directory.
fn file_of(node: &PgNode, table: &str) -> PathBuf {
    PathBuf::from(&node.query(&format!("select pg_relation_filepath('{table}')"))[0])
}

fn spoil(path: &Path, at: u64) {
    let file = OpenOptions::new().write(true).open(path).expect("opened");
    file.write_all_at(b"spoilt", at).expect("written");
}

fn grow(path: &Path, to: u64) {
    OpenOptions::new().write(true).open(path).expect("opened").set_len(to).expect("set");
}

/// A server with tables, one of them in a tablespace, and a backup of it.
fn backed_up(node: &mut PgNode) -> (Place, u32) {
    node.set("wal_keep_size = '1GB'").start();
    let place = Place::of(node);
    let ships = place.ships(node);
    let far = place.folder_for_servers("far");
    node.query(&format!("create tablespace far location '{}'", far.display()));
    let rows = "select g a, repeat(md5(g::text), 6) b from generate_series(1, 100000) g";
    for table in ["calm", "spoilt", "grown", "cut", "away tablespace far"] {
        node.query(&format!("create table {table} as {rows}"));
    }
    let report = place.backs_up(node, "full");
    node.query("insert into calm values (0, 'later')");
    place.reaches(&ships, node);
    (place, report.about.tablespaces[0].oid)
}

const TABLES: [&str; 5] = ["calm", "spoilt", "grown", "cut", "away"];

/// A server on a first restore of it, which has gone its own way and was killed.
fn damaged(place: &Place, node: &PgNode, oid: u32, moved: &Path) -> PgNode {
    let tablespaces = BTreeMap::from([(oid, moved.to_owned())]);
    let mut old = place.server(node, "full", tablespaces, Target::Latest);
    old.query("create table mine as select g from generate_series(1, 50000) g");
    old.query("delete from cut where a % 2 = 0");
    old.query("vacuum cut");
    let file = |table| old.data_dir().join(file_of(&old, table));
    let files = ["spoilt", "grown", "cut", "away"].map(file);
    old.query("checkpoint");
    old.kill9();
    spoil(&files[0], 8192 * 100 + 77);
    grow(&files[1], fs::metadata(&files[1]).expect("there").len() + 3 * 8192 + 5);
    grow(&files[2], 8192 * 4 + 9);
    spoil(&files[3], 3);
    fs::remove_file(old.data_dir().join("global/pg_filenode.map")).expect("removed");
    let stray = old.data_dir().join("base/stray");
    fs::create_dir_all(stray.join("inner")).expect("made");
    fs::write(stray.join("inner/file"), [1; 5000]).expect("written");
    let foreign = moved.join("PG_9.0_foreign");
    fs::create_dir(&foreign).expect("made");
    fs::write(foreign.join("file"), "another server's").expect("written");
    let outside = place.folder_for_servers("outside");
    fs::write(outside.join("file"), "not ours").expect("written");
    symlink(&outside, old.data_dir().join("base/link")).expect("linked");
    howdah_testkit::pg_node::give_away_all(moved);
    old
}

fn lands(place: &Place, old: &mut PgNode, to: &Destination, node: &PgNode, moved: &Path) {
    howdah_testkit::pg_node::give_away_all(&to.data_dir);
    howdah_testkit::pg_node::give_away_all(moved);
    assert!(!to.data_dir.join("base/stray").exists() && !to.data_dir.join("base/link").exists());
    assert!(!to.data_dir.join("howdah-restore").exists());
    let aside = fs::read_dir(to.data_dir.join("pg_wal/howdah-old")).expect("listed");
    assert!(aside.count() > 0, "WAL of its own way, which nobody else has");
    for outside in
        [moved.join("PG_9.0_foreign/file"), place.folder_for_servers("outside").join("file")]
    {
        assert!(outside.exists(), "{}", outside.display());
    }
    old.start();
    let recovered = || (old.query("select pg_is_in_recovery()") == ["f"]).then_some(());
    howdah_testkit::wait::until("it has recovered", crate::place::LONG, recovered, String::new);
    assert_eq!(content(old, &TABLES), content(node, &TABLES));
    assert_eq!(old.query("select to_regclass('mine') is null"), ["t"]);
}

#[test]
fn what_is_right_stays_and_the_rest_is_as_it_was() {
    majors::each(|mut node| {
        let (place, oid) = backed_up(&mut node);
        let moved = place.folder_for_servers("moved");
        let mut old = damaged(&place, &node, oid, &moved);
        let tablespaces = BTreeMap::from([(oid, moved.clone())]);
        let to = destination(old.data_dir(), tablespaces, Target::Latest);
        let told = place.restores_over("full", &to, OVER).unwrap_or_else(|e| panic!("{e}"));
        // Three tables were changed in all their pages, or in most of them; one page of the others.
        let brought = told.total - told.kept;
        assert!(told.kept > told.total / 2 && brought > 8 << 20, "{told:?}");
        lands(&place, &mut old, &to, &node, &moved);
        check(old);
    });
}

#[test]
fn an_interrupted_one_starts_no_server_and_is_run_again() {
    let mut node = PgNode::init();
    let (place, oid) = backed_up(&mut node);
    let moved = place.folder_for_servers("moved");
    let mut old = damaged(&place, &node, oid, &moved);
    let tablespaces = BTreeMap::from([(oid, moved.clone())]);
    let to = destination(old.data_dir(), tablespaces, Target::Latest);
    let mut given_up = 0;
    for percent in [0, 10, 40, 70, 90, 99] {
        let seen = |p: &howdah_archive::restore::write::Progress| {
            p.total > 0 && p.done * 100 >= p.total * percent
        };
        if place.gives_up_restoring("full", &to, seen) {
            given_up += 1;
        }
    }
    assert!(given_up > 3, "{given_up}");
    // An empty place is filled half, and then the whole of it.
    let fresh = place.folder_for_servers("fresh");
    let half =
        destination(&fresh.join("data"), BTreeMap::from([(oid, fresh.join("t"))]), Target::Latest);
    assert!(place.gives_up_restoring("full", &half, |p| p.total > 0 && p.done > p.total / 2));
    assert!(!half.data_dir.join("global/pg_control").exists());
    assert!(half.data_dir.join("howdah-restore").exists());
    let refused = place.restores_over("full", &half, Over::Nothing).expect_err("not empty");
    assert!(matches!(refused, RestoreError::NotEmpty(_)), "{refused}");
    // Whoever goes on with a restore of his own touches no other directory, and it stays his.
    let refused = place.restores_over(
        "full",
        &destination(node.data_dir(), BTreeMap::new(), Target::Latest),
        Over::Interrupted,
    );
    assert!(matches!(refused, Err(RestoreError::NotEmpty(_))), "{refused:?}");
    for _ in 0..2 {
        let told = place.restores_over("full", &half, Over::Interrupted);
        let told = told.unwrap_or_else(|e| panic!("{e}"));
        assert!(told.kept > 0, "{told:?}");
    }
    howdah_archive::restore::write::unmark(&half.data_dir).expect("marked");
    let refused = place.restores_over("full", &half, Over::Interrupted).expect_err("done");
    assert!(matches!(refused, RestoreError::NotEmpty(_)), "{refused}");

    let told = place.restores_over("full", &to, OVER).unwrap_or_else(|e| panic!("{e}"));
    assert!(told.kept > told.total / 2, "{told:?}");
    let mode =
        |path: &str| fs::metadata(to.data_dir.join(path)).expect("there").permissions().mode();
    assert_eq!((mode("PG_VERSION") & 0o7777, mode("base") & 0o7777), (0o600, 0o700));
    lands(&place, &mut old, &to, &node, &moved);
    check(old);
}

#[test]
fn it_goes_over_nothing_but_a_directory_of_this_cluster_that_is_still() {
    let mut node = PgNode::init();
    let (place, oid) = backed_up(&mut node);
    let moved = place.folder_for_servers("moved");
    let tries = |data_dir: &Path, over| {
        let tablespaces = BTreeMap::from([(oid, moved.clone())]);
        place.restores_over("full", &destination(data_dir, tablespaces, Target::Latest), over)
    };
    let refused = |data_dir: &Path, over| tries(data_dir, over).expect_err("refused");
    let error = refused(node.data_dir(), OVER);
    assert!(matches!(error, RestoreError::Running { .. }), "{error}");

    let other = PgNode::init();
    // Servers of one run have one system identifier: they are copies of one directory.
    fs::write(other.data_dir().join("howdah-restore"), "howdah restore 1, system 5\n")
        .expect("written");
    let error = refused(other.data_dir(), OVER);
    assert!(matches!(error, RestoreError::OtherSystem { .. }), "{error}");
    let forced = Over::Directory { force: true };
    let error = refused(other.data_dir(), forced);
    assert!(matches!(error, RestoreError::OtherSystem { .. }), "it says whose it is: {error}");
    let documents = place.folder_for_servers("documents");
    fs::write(documents.join("thesis"), "years").expect("written");
    let error = refused(&documents, forced);
    assert!(matches!(error, RestoreError::NoDirectory(_)), "{error}");

    // Another server's tablespace.
    fs::write(moved.join("theirs"), "").expect("written");
    let mut old = node.on_what(|data_dir| {
        fs::create_dir(data_dir).expect("made");
        let still = node.data_dir().join("PG_VERSION");
        fs::copy(still, data_dir.join("PG_VERSION")).expect("copied");
    });
    let error = refused(old.data_dir(), OVER);
    assert!(matches!(error, RestoreError::Unknown(_)), "{error}");
    let error = refused(old.data_dir(), forced);
    assert!(matches!(error, RestoreError::NotEmpty(_)), "{error}");
    let left = fs::read_dir(old.data_dir()).expect("listed").count();
    assert_eq!(left, 1, "nothing was touched");
    fs::remove_file(moved.join("theirs")).expect("removed");
    tries(old.data_dir(), forced).unwrap_or_else(|e| panic!("{e}"));
    howdah_testkit::pg_node::give_away_all(old.data_dir());
    howdah_testkit::pg_node::give_away_all(&moved);
    old.start();
    assert!(node.query("select 1") == ["1"], "the other one was left alone");
}
