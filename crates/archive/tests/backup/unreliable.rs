//! Backups and WAL in an S3 that has a bad day.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_archive::backup::engine::BackupError;
use howdah_archive::restore::plan::Target;
use howdah_testkit::PgNode;
use howdah_testkit::bad_s3::{BadS3, Trouble};

use crate::place::{Place, check, content, options};

fn started() -> (BadS3, PgNode, Place) {
    let s3 = BadS3::start();
    let mut node = PgNode::init();
    node.set("wal_keep_size = '1GB'").start();
    let place = Place::in_s3(&node, &s3.endpoint());
    node.query(
        "create table t as select g, repeat(md5(g::text), 4) b from generate_series(1, 60000) g",
    );
    (s3, node, place)
}

#[test]
fn errors_lost_answers_and_halves_cost_time_and_nothing_else() {
    let (s3, node, place) = started();
    s3.is_now(Trouble::Unreliable);
    let ships = place.ships(&node);
    place.backs_up(&node, "one");
    node.query("update t set b = 'x' where g % 100 = 0");
    place.backs_up(&node, "two");
    node.query("insert into t select -g, '' from generate_series(1, 7) g");
    let before = content(&node, &["t"]);
    place.reaches(&ships, &node);
    let restored = place.server(&node, "two", BTreeMap::new(), Target::Latest);
    assert_eq!(content(&restored, &["t"]), before);
    check(restored);
    assert!(s3.spoiled() > 20, "{}", s3.spoiled());
    assert_eq!(place.labels(), ["one", "two"]);
}

#[test]
fn a_slow_storage_is_waited_for() {
    let (s3, node, place) = started();
    s3.is_now(Trouble::Slow(Duration::from_millis(150)));
    let ships = place.ships(&node);
    place.backs_up(&node, "one");
    let before = content(&node, &["t"]);
    place.reaches(&ships, &node);
    let restored = place.server(&node, "one", BTreeMap::new(), Target::Latest);
    assert_eq!(content(&restored, &["t"]), before);
}

#[test]
fn a_full_storage_ends_the_backup_and_leaves_what_was_there() {
    let (s3, node, place) = started();
    let ships = place.ships(&node);
    place.backs_up(&node, "one");
    s3.is_now(Trouble::Full);
    node.query("insert into t select -g, md5(g::text) from generate_series(1, 50000) g");
    let ended = place.tries(&node, &options("two"));
    let error = ended.expect_err("nothing could be written");
    let said = error.to_string();
    assert!(
        matches!(error, BackupError::Repository(_)) && said.contains("InsufficientStorage"),
        "{said}"
    );
    assert_eq!(place.labels(), ["one"]);
    s3.is_now(Trouble::None);
    // What was shipped meanwhile goes on where it was.
    place.reaches(&ships, &node);
    place.backs_up(&node, "three");
    let before = content(&node, &["t"]);
    place.reaches(&ships, &node);
    let restored = place.server(&node, "three", BTreeMap::new(), Target::Latest);
    assert_eq!(content(&restored, &["t"]), before);
}
