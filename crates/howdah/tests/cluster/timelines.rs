//! Two failovers, and moments on each of the three timelines, by time, LSN, transaction and name: all
//! are planned, and some are gone back to.

use std::time::Duration;

use howdah_testkit::{Cluster, Node, wait};

use crate::restored::{now, restored_by};
use crate::wal_kept::is_kept;
use crate::{TAKEOVER_WITHIN, three};

/// A moment on a timeline, as each kind of target calls it.
struct Moment {
    time: String,
    lsn: String,
    xid: String,
    name: String,
}

impl Moment {
    fn targets(&self) -> [String; 4] {
        let Moment { time, lsn, xid, name } = self;
        [format!("time={time}"), format!("lsn={lsn}"), format!("xid={xid}"), format!("name={name}")]
    }
}

/// A row that is before the moment, and one that is behind it.
fn note(cluster: &Cluster, node: &Node, timeline: u32) -> Moment {
    let row = |n: u32| {
        let sql = format!("insert into t values ({n}) returning pg_current_xact_id()");
        node.sql(&sql).expect("written")
    };
    let xid = row(timeline * 10 + 1);
    let lsn = node.sql("select pg_current_wal_insert_lsn()").expect("asked");
    let name = format!("on{timeline}");
    node.sql(&format!("select pg_create_restore_point('{name}')")).expect("named");
    node.sql("select pg_sleep(0.01)").expect("slept");
    let time = now(cluster);
    node.sql("select pg_sleep(0.01)").expect("slept");
    row(timeline * 10 + 2);
    Moment { time, lsn, xid, name }
}

fn failover(cluster: &Cluster) -> &Node {
    let old = cluster.primary();
    old.kill9_everything();
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    old.start();
    cluster.wait_whole();
    new
}

#[test]
fn each_moment_of_three_timelines_can_be_gone_back_to() {
    let cluster = three().set("backup", "repository", "\"archive/shop\"").start();
    let first = cluster.primary();
    first.sql("create table t (n int)").expect("made");
    cluster.howdah_ok(&["backup"]);
    let one = note(&cluster, first, 1);
    let two = note(&cluster, failover(&cluster), 2);
    let three = note(&cluster, failover(&cluster), 3);
    is_kept(&cluster);

    let into = cluster.scratch().join("back");
    let planned = |arguments: &[&str]| {
        let into = into.display().to_string();
        let all = [&["restore", "--dry-run", "--into", &into], arguments].concat();
        let said = cluster.howdah_ok(&all);
        println!("{said}");
        said
    };
    let reads = |said: &str, timelines: &[u32]| {
        let wal = said.lines().filter(|line| line.starts_with("WAL "));
        let read: Vec<u32> = wal.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        assert_eq!(read, timelines, "{said}");
    };
    for (timeline, moment) in (1_u32..).zip([&one, &two, &three]) {
        let own: Vec<u32> = (1..=timeline).collect();
        for (target, is_lsn) in moment.targets().iter().zip([false, true, false, false]) {
            // Where an LSN lies is known; the others lie somewhere on the way to the newest.
            let newest = planned(&["--to", target]);
            reads(&newest, if is_lsn { &own } else { &[1, 2, 3] });
            let along = planned(&["--to", target, "--target-timeline", &timeline.to_string()]);
            reads(&along, &own);
        }
        reads(&planned(&["--target-timeline", &timeline.to_string()]), &own);
    }
    // Each was acknowledged by a standby, and none was lost with a primary.
    goes_back(&cluster, &["--to", &format!("xid={}", one.xid)], "11");
    goes_back(&cluster, &["--to", &format!("time={}", two.time)], "11,12,21");
    goes_back(&cluster, &["--to", &format!("lsn={}", three.lsn)], "11,12,21,22,31");
    goes_back(&cluster, &["--target-timeline", "2"], "11,12,21,22");
}

fn goes_back(cluster: &Cluster, arguments: &[&str], expected: &str) {
    let server = restored_by(cluster, arguments, true);
    let recovered = || (server.query("select pg_is_in_recovery()") == ["f"]).then_some(());
    wait::until("it has recovered", Duration::from_secs(30), recovered, || server.log_text());
    let rows = server.query("select string_agg(n::text, ',' order by n) from t");
    assert_eq!(rows, [expected], "{arguments:?}");
}
