//! Members come and go.

use std::fs;
use std::time::Duration;

use howdah_etcd::Phase;
use howdah_testkit::wait;

use crate::rig::{CONFIG, LEADER, Rig, WITHIN};

#[test]
fn the_first_machine_makes_the_store_and_the_others_join_it() {
    let nodes = ["n1", "n2", "n3"];
    let mut rig = Rig::of(&nodes);
    rig.may_found(&["n1"]);
    // Those who come too early wait.
    rig.start("n3", &nodes);
    rig.wait_report("n3", "waits for a member", |report| {
        report.why.contains("joins it when another member answers").then_some(())
    });
    rig.start("n1", &nodes);
    rig.wait_well("n1");
    rig.start("n2", &nodes);
    rig.wait_well("n2");
    rig.wait_well("n3");
    rig.wait_members("n1", &nodes);
    assert!(!rig.path("n1/founding").exists(), "the right is used up");
}

#[test]
fn a_member_whose_data_is_gone_is_replaced() {
    let nodes = ["n1", "n2", "n3"];
    let mut rig = Rig::up(&nodes);
    rig.ctl("n1", &["put", "key", "value"]);
    let before = rig.wait_well("n2").member;
    rig.kill_both("n2");
    fs::remove_dir_all(rig.path("n2/store/etcd")).expect("wiped");
    fs::remove_file(rig.path("n2/store/member.json")).expect("wiped");
    rig.start("n2", &nodes);
    let after = rig.wait_well("n2").member;
    assert!(after.is_some() && after != before, "{before:?} {after:?}");
    rig.wait_members("n1", &nodes);
    assert_eq!(rig.ctl("n2", &["get", "key", "--print-value-only"]), "value\n");
}

#[test]
fn the_last_data_is_not_replaced_by_nothing() {
    let nodes = ["n1", "n2"];
    let mut rig = Rig::up(&nodes);
    rig.kill_both("n2");
    fs::remove_dir_all(rig.path("n2/store/etcd")).expect("wiped");
    fs::remove_file(rig.path("n2/store/member.json")).expect("wiped");
    rig.start("n2", &nodes);
    // One of two is no majority: nothing can be removed, and nothing new may be made.
    rig.wait_report("n2", "waits", |report| {
        (report.phase == Phase::Waiting && report.why.contains("no majority")).then_some(())
    });
    let waits = wait::stays(Duration::from_secs(3), || rig.etcd("n2").is_none());
    assert!(waits, "{}", rig.seen());
}

#[test]
fn members_follow_the_file_in_force() {
    let nodes = ["n1", "n2", "n3", "n4"];
    let mut rig = Rig::of(&nodes);
    rig.may_found(&nodes[..3]);
    for node in &nodes[..3] {
        rig.start(node, &nodes[..3]);
    }
    rig.wait_members("n1", &nodes[..3]);
    // n1 is replaced by n4, whoever leads.
    rig.ctl("n1", &["put", CONFIG, "n2 n3 n4"]);
    rig.start("n4", &["n2", "n3", "n4"]);
    rig.wait_well("n4");
    rig.wait_members("n2", &["n2", "n3", "n4"]);
    rig.wait_keeper_ends("n1");
    assert!(rig.etcd("n1").is_none());
    // And it comes back one day, with data that nobody wants.
    rig.ctl("n2", &["put", CONFIG, "n1 n2 n3 n4"]);
    rig.start("n1", &nodes);
    rig.wait_well("n1");
    rig.wait_members("n2", &nodes);
    assert!(rig.path("n1/store/etcd.aside").is_dir());
}

/// When the primary's machine is lost, etcd should not have to elect a leader as well.
#[test]
fn etcd_is_led_from_another_machine_than_the_primarys() {
    let nodes = ["n1", "n2", "n3"];
    let rig = Rig::up(&nodes);
    rig.ctl("n1", &["put", CONFIG, "n1 n2 n3"]);
    for node in nodes {
        let leader = format!("{{\"node\":\"{node}\",\"term\":1}}");
        rig.ctl("n1", &["put", LEADER, &leader]);
        wait::until(
            &format!("another member than that of {node} leads"),
            WITHIN,
            || {
                let status = rig.ctl(node, &["endpoint", "status"]);
                (status.split(", ").nth(4) == Some("false")).then_some(())
            },
            || rig.seen(),
        );
    }
}
