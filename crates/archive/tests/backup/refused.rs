//! What is refused, and what is given up, leaves nothing that could be taken for a backup or a server.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use howdah_archive::backup::engine::{BackupError, Phase};
use howdah_archive::restore::plan::Target;
use howdah_archive::restore::write::RestoreError;
use howdah_testkit::{majors, wait};

use crate::place::{LONG, Place, options};

#[test]
fn a_backup_that_is_dropped_leaves_no_manifest_and_the_server_free() {
    majors::each(|mut node| {
        node.start();
        node.query("create table t as select g from generate_series(1, 300000) g");
        let place = Place::of(&node);
        let _ships = place.ships(&node);
        let mut slow = options("slow");
        slow.bytes_per_s = Some(8 << 20);
        place.gives_up(&node, &slow, |progress| {
            progress.phase == Phase::Copying && progress.done > 4 << 20
        });
        assert_eq!(place.labels(), Vec::<String>::new());
        let session = "select count(*) from pg_stat_activity where application_name = 'howdah'";
        let gone = || (node.query(session) == ["0"]).then_some(());
        wait::until("its session has ended", LONG, gone, String::new);
        place.backs_up(&node, "next");
        assert_eq!(place.labels(), ["next"]);
    });
}

#[test]
fn it_reads_no_faster_than_it_may() {
    majors::each(|mut node| {
        node.start();
        let place = Place::of(&node);
        let _ships = place.ships(&node);
        let mut slow = options("slow");
        slow.bytes_per_s = Some(8 << 20);
        let begun = Instant::now();
        let statistics = place.tries(&node, &slow).expect("taken").about.statistics;
        let least = Duration::from_secs(statistics.bytes / (8 << 20)) - Duration::from_secs(1);
        assert!(statistics.bytes > 16 << 20 && begun.elapsed() > least, "{:?}", begun.elapsed());
    });
}

#[test]
fn without_its_wal_there_is_no_backup() {
    majors::each(|mut node| {
        node.start();
        let place = Place::of(&node);
        let mut options = options("alone");
        options.wal_within = Duration::from_secs(1);
        let error = place.tries(&node, &options).expect_err("nobody ships");
        assert!(matches!(error, BackupError::NoWal { .. }), "{error}");
        assert_eq!(place.labels(), Vec::<String>::new());
    });
}

/// A standby's backup begins where it last made a restart point, which lies before the hole.
#[test]
fn wal_that_does_not_come_any_more_is_not_waited_for() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let mut standby = node.standby();
        standby.start();
        let place = Place::of(&node);
        let ships = place.ships(&node);
        let mut names = Vec::new();
        for _ in 0..3 {
            names.extend(node.query("select pg_walfile_name(pg_current_wal_insert_lsn())"));
            node.query("create table if not exists t (a int)");
            node.query("insert into t select generate_series(1, 1000)");
            node.query("select pg_switch_wal()");
        }
        node.query("insert into t values (1)");
        let end = place.reaches(&ships, &node);
        let replayed = format!("select pg_last_wal_replay_lsn() >= '{end}'");
        let there = || (standby.query(&replayed) == ["t"]).then_some(());
        wait::until("the standby is there", LONG, there, String::new);
        let wal = place.folder.join("0000000000000003/wal/00000001");
        let lost = wal.join(&names[1]);
        wait::until("it is whole", LONG, || lost.is_file().then_some(()), String::new);
        fs::remove_file(&lost).expect("removed");
        let mut options = options("hole");
        options.wal_within = LONG / 4;
        let error = place.tries(&standby, &options).expect_err("a hole");
        assert!(matches!(error, BackupError::WalLost { .. }), "{error}");
        assert_eq!(place.labels(), Vec::<String>::new());
    });
}

#[test]
fn another_clusters_server_is_refused() {
    majors::each(|mut node| {
        node.start();
        let place = Place::of_cluster(77);
        let error = place.tries(&node, &options("other")).expect_err("another");
        assert!(matches!(error, BackupError::OtherCluster { lineage: 77, .. }), "{error}");
    });
}

#[test]
fn what_is_there_is_not_touched() {
    majors::each(|mut node| {
        node.start();
        let place = Place::of(&node);
        let _ships = place.ships(&node);
        let far = place.folder_for_servers("far");
        node.query(&format!("create tablespace far location '{}'", far.display()));
        node.query("create table away tablespace far as select 1");
        let oid = place.backs_up(&node, "full").about.tablespaces[0].oid;
        let target = place.folder_for_servers("target");
        let restores = |data_dir: &PathBuf, oid, moved: PathBuf| {
            let tablespaces = BTreeMap::from([(oid, moved)]);
            let refused = place.restores("full", data_dir, tablespaces, Target::Latest);
            let left = fs::read_dir(&target).expect("there").count();
            (refused.expect_err("refused"), left)
        };
        let empty = place.folder_for_servers("empty");
        let (error, left) = restores(&target, oid, far);
        assert!(matches!(error, RestoreError::NotEmpty(_)) && left == 0, "{error}");
        let (error, left) = restores(&target, oid + 1, empty.clone());
        assert!(matches!(error, RestoreError::NoTablespace(..)) && left == 0, "{error}");
        for place in ["relative".into(), target.join("inside")] {
            let (error, left) = restores(&target, oid, place);
            assert!(matches!(error, RestoreError::BadPlace(_)) && left == 0, "{error}");
        }
        fs::write(target.join("mine"), "precious").expect("written");
        let (error, left) = restores(&target, oid, empty.clone());
        assert!(matches!(error, RestoreError::NotEmpty(_)) && left == 1, "{error}");
        assert_eq!(fs::read_dir(empty).expect("there").count(), 0);
    });
}
