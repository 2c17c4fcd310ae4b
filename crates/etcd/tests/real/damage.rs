//! Broken files, and an etcd that has run out of room.

use std::fs;
use std::io::Write;
use std::process::Command;

use howdah_etcd::Phase;

use crate::rig::Rig;

#[test]
fn a_member_that_cannot_read_its_data_is_replaced() {
    let nodes = ["n1", "n2", "n3"];
    let mut rig = Rig::up(&nodes);
    rig.ctl("n1", &["put", "key", "value"]);
    let before = rig.wait_well("n2").member;
    rig.kill_both("n2");
    break_log(&rig, "n2");
    rig.start("n2", &nodes);
    rig.wait_report("n2", "is a new member", |report| {
        (report.phase == Phase::Well && report.member != before).then_some(())
    });
    assert!(rig.path("n2/store/etcd.aside").is_dir(), "what it had is kept");
    rig.wait_members("n1", &nodes);
    assert_eq!(rig.ctl("n2", &["get", "key", "--print-value-only"]), "value\n");
}

#[test]
fn broken_data_that_nobody_else_has_is_left_alone() {
    let mut rig = Rig::up(&["n1"]);
    rig.kill_both("n1");
    break_log(&rig, "n1");
    rig.start("n1", &["n1"]);
    rig.wait_report("n1", "refuses", |report| {
        (report.phase == Phase::Refused && report.why.contains("cannot use its data")).then_some(())
    });
    assert!(rig.path("n1/store/etcd/member").is_dir());
}

/// Turns bytes in the middle of the member's log.
fn break_log(rig: &Rig, node: &str) {
    let wal = rig.path(&format!("{node}/store/etcd/member/wal"));
    let mut logs: Vec<_> = fs::read_dir(wal)
        .expect("a log")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "wal"))
        .collect();
    logs.sort();
    let path = logs.first().expect("a log");
    let mut bytes = fs::read(path).expect("read");
    for byte in &mut bytes[64..256] {
        *byte = !*byte;
    }
    fs::write(path, bytes).expect("written");
}

/// Two of three machines burn; what the third has becomes the store, and new ones join it.
#[test]
fn the_last_member_goes_on_alone_by_order() {
    let nodes = ["n1", "n2", "n3"];
    let mut rig = Rig::up(&nodes);
    rig.ctl("n1", &["put", "key", "value"]);
    let before = rig.wait_well("n1").member;
    for node in ["n2", "n3"] {
        rig.kill_both(node);
        fs::remove_dir_all(rig.path(&format!("{node}/store/etcd"))).expect("burnt");
        fs::remove_file(rig.path(&format!("{node}/store/member.json"))).expect("burnt");
    }
    rig.wait_report("n1", "has no majority", |report| {
        report.why.contains("no leader").then_some(())
    });
    rig.kill_both("n1");
    howdah_etcd::order_alone(&rig.path("n1/store"), true).expect("ordered");
    rig.start("n1", &nodes);
    assert_eq!(rig.wait_well("n1").member, before);
    rig.wait_members("n1", &["n1"]);
    assert_eq!(rig.ctl("n1", &["get", "key", "--print-value-only"]), "value\n");
    for node in ["n2", "n3"] {
        rig.start(node, &nodes);
        rig.wait_well(node);
    }
    rig.wait_members("n3", &nodes);
    assert!(!rig.path("n1/store/go-on-alone").exists(), "an order is carried out once");
    // The next start is an ordinary one.
    rig.kill_both("n1");
    rig.start("n1", &nodes);
    rig.wait_well("n1");
    rig.wait_members("n1", &nodes);
}

/// The disk is full: etcd ends, the report says why, nothing is put aside, and it comes back.
#[test]
fn a_full_disk_is_named_and_survived() {
    let mut rig = Rig::of(&["n1"]);
    let store = rig.path("n1/store");
    let mount = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).arg(&store).status().is_ok_and(|s| s.success())
    };
    assert!(mount("mount", &["-t", "tmpfs", "-o", "size=160m", "tmpfs"]), "root may mount");
    rig.may_found(&["n1"]);
    rig.start("n1", &["n1"]);
    let before = rig.wait_well("n1").member;
    let filler = store.join("filler");
    let mut file = fs::File::create(&filler).expect("created");
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);
    let value = "x".repeat(100_000);
    howdah_testkit::wait::until(
        "etcd does not take it any more",
        crate::rig::WITHIN,
        || rig.try_ctl("n1", &["put", "key", &value]).err(),
        || rig.seen(),
    );
    let said = rig.wait_report("n1", "names the disk", |report| {
        report.why.contains("no space left").then(|| report.why.clone())
    });
    assert!(said.contains("etcd ends at once"), "{said}");
    fs::remove_file(&filler).expect("removed");
    let report = rig.wait_well("n1");
    assert_eq!(report.member, before, "the same member, on the same data");
    rig.ctl("n1", &["put", "key", "value"]);
    rig.kill_both("n1");
    assert!(mount("umount", &["--lazy"]), "unmounted");
}

#[test]
fn an_etcd_without_room_gets_some_and_takes_writes_again() {
    let mut rig = Rig::of(&["n1"]);
    rig.quota_bytes = 2 << 20;
    rig.may_found(&["n1"]);
    rig.start("n1", &["n1"]);
    rig.wait_well("n1");
    let value = "x".repeat(100_000);
    let refused = (0..60).find_map(|_| rig.try_ctl("n1", &["put", "key", &value]).err());
    let refused = refused.expect("a quota of 2 MiB");
    assert!(refused.contains("database space exceeded"), "{refused}");
    howdah_testkit::wait::until(
        "etcd takes writes again",
        crate::rig::WITHIN,
        || rig.try_ctl("n1", &["put", "key", "value"]).ok(),
        || rig.seen(),
    );
    assert_eq!(rig.ctl("n1", &["alarm", "list"]), "");
}
