//! A backup that is taken from a standby, while its primary works.

use std::collections::BTreeMap;

use howdah_archive::restore::plan::Target;
use howdah_base::Timeline;
use howdah_testkit::{Load, majors, wait};

use crate::place::{LONG, Place, check, content};

const TABLES: [&str; 2] = ["pgbench_accounts", "pgbench_history"];

#[test]
fn a_standby_is_backed_up_and_the_primarys_wal_completes_it() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let mut standby = node.standby();
        standby.start();
        let place = Place::of(&node);
        let ships = place.ships(&node);
        let load = Load::on(&node, 4);
        let report = place.backs_up(&standby, "standby");
        assert!(report.about.backup_label.contains("BACKUP FROM: standby"));
        load.ends();
        let before = content(&node, &TABLES);
        place.reaches(&ships, &node);
        let restored = place.server(&node, "standby", BTreeMap::new(), Target::Latest);
        assert_eq!(content(&restored, &TABLES), before);
        // Nothing of the standby's own set-up is left.
        assert_eq!(restored.query("show primary_conninfo"), [""]);
        assert!(!restored.data_dir().join("standby.signal").exists());
        check(restored);
    });
}

#[test]
fn after_a_promotion_the_next_backup_builds_on_the_old_primarys() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let mut standby = node.standby();
        standby.start();
        let place = Place::of(&node);
        let ships = place.ships(&node);
        node.query("create table t as select g from generate_series(1, 200000) g");
        place.backs_up(&node, "before");
        let end = node.query("select pg_current_wal_flush_lsn()").remove(0);
        place.reaches(&ships, &node);
        let replayed = format!("select pg_last_wal_replay_lsn() >= '{end}'");
        let there = || (standby.query(&replayed) == ["t"]).then_some(());
        wait::until("the standby is there", LONG, there, String::new);
        drop(ships);
        node.stop();
        standby.query("select pg_promote()");
        let ships = place.ships(&standby);
        standby.query("insert into t select g from generate_series(1, 500) g");
        let report = place.backs_up(&standby, "after");
        let about = &report.about;
        assert_eq!((about.timeline, about.base.as_deref()), (Timeline(2), Some("before")));
        assert!(about.statistics.reused > about.statistics.new, "{:?}", about.statistics);
        let before = content(&standby, &["t"]);
        place.reaches(&ships, &standby);
        // From either of them: over the fork, or on this side of it.
        for label in ["after", "before"] {
            let restored = place.server(&standby, label, BTreeMap::new(), Target::Latest);
            assert_eq!(content(&restored, &["t"]), before, "{label}");
        }
    });
}
