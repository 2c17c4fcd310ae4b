//! The primary's disk stalls, breaks, or fills up. In each case another node becomes primary, and
//! nothing that was acknowledged is lost.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::time::Duration;

use howdah_testkit::disk::Disk;
use howdah_testkit::{Cluster, Writer};

use crate::{ROWS_WITHIN, three};

const SIZE_MB: u64 = 512;
/// `disk_stalled_after`, the lease, and an election.
const ELSEWHERE_WITHIN: Duration = Duration::from_secs(75);

/// A cluster whose first primary, `n1`, has a disk of its own.
fn with_small_disk() -> (Cluster, Disk) {
    let setup = three()
        .set("", "first_node", "\"n1\"")
        .parameter("max_wal_size", "64MB")
        .parameter("min_wal_size", "32MB");
    let cluster = setup.prepare();
    let home = cluster.node("n1").data_dir.parent().expect("a parent").to_owned();
    let owner = fs::metadata(&home).expect("made by prepare");
    let disk = Disk::mount(&home, SIZE_MB).expect("root may mount");
    chown(&home, Some(owner.uid()), Some(owner.gid())).expect("root may chown");
    cluster.howdah_ok(&["prepare"]);
    cluster.start_all();
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, "n1");
    (cluster, disk)
}

#[test]
fn stalled_disk_of_the_primary() {
    let (cluster, disk) = with_small_disk();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    assert!(disk.freeze(), "writes hang");
    cluster.wait_for_other_primary("n1", ELSEWHERE_WITHIN);
    client.wait_for_rows(100, ROWS_WITHIN);
    let log = cluster.node("n1").log_text();
    assert!(log.contains("rule=602"), "{}", cluster.node("n1").log_tail(60));
    assert!(disk.thaw(), "writes go on");
    cluster.wait_whole();
    client.stop_and_check();
}

#[test]
fn read_only_disk_of_the_primary() {
    let (cluster, disk) = with_small_disk();
    for part in ["Read-only file system", "Input/output error"] {
        cluster.expect_error(part);
    }
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    assert!(disk.break_down(), "the disk has an error");
    cluster.wait_for_other_primary("n1", ELSEWHERE_WITHIN);
    client.wait_for_rows(100, ROWS_WITHIN);
    client.stop_and_check();
    cluster.wait_for("the status names the disk", ROWS_WITHIN, || {
        let problems = cluster.status().problems;
        problems.iter().any(|text| text.contains("its disk cannot be written")).then_some(())
    });
    cluster.node("n1").kill9_everything();
}

#[test]
fn full_disk_of_the_primary() {
    let (cluster, disk) = with_small_disk();
    cluster.expect_error("No space left");
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let reserve = cluster.node("n1").data_dir.with_file_name("data.reserve");
    assert!(reserve.exists(), "the reserve is there");
    assert!(disk.fill(), "no write fits");
    cluster.wait_for_other_primary("n1", ELSEWHERE_WITHIN);
    client.wait_for_rows(100, ROWS_WITHIN);
    assert!(!reserve.exists(), "the reserve was given up");
    cluster.wait_for("nothing goes back to the full disk", ROWS_WITHIN, || {
        let status = cluster.status();
        let own = status.nodes.into_iter().find(|node| node.node.as_str() == "n1")?;
        let why = own.not_promotable.filter(|why| why.contains("its disk is full"))?;
        own.not_switchable.filter(|other| *other == why)
    });
    let refused = cluster.howdah(&["switchover", "--to", "n1"]);
    assert!(!refused.status.success(), "not into a full disk\n{}", cluster.seen());

    disk.free();
    cluster.wait_for("the reserve is back", ROWS_WITHIN, || reserve.exists().then_some(()));
    cluster.wait_whole();
    client.stop_and_check();
}
