//! etcd and its keeper end, each in its own way, and come back.

use crate::rig::Rig;

#[test]
fn an_etcd_that_dies_is_started_again() {
    let rig = Rig::up(&["n1", "n2", "n3"]);
    rig.ctl("n1", &["put", "key", "value"]);
    let before = rig.wait_well("n2");
    let pid = rig.kill_etcd("n2");
    let after = rig.wait_report("n2", "etcd runs again", |report| {
        (report.ends == 1 && report.etcd_pid.is_some()).then(|| report.clone())
    });
    assert_ne!(after.etcd_pid, u32::try_from(pid).ok());
    assert_eq!(rig.wait_well("n2").member, before.member, "on the data that it had");
    assert_eq!(rig.ctl("n2", &["get", "key", "--print-value-only"]), "value\n");
}

#[test]
fn a_keeper_that_dies_leaves_etcd_and_the_next_one_finds_it() {
    let mut rig = Rig::up(&["n1"]);
    let before = rig.etcd("n1").expect("etcd runs").pid;
    rig.kill_keeper("n1");
    assert_eq!(rig.etcd("n1").expect("it goes on").pid, before);
    rig.ctl("n1", &["put", "key", "value"]);
    rig.start("n1", &["n1"]);
    let report = rig.wait_well("n1");
    assert_eq!(report.etcd_pid, u32::try_from(before).ok());
    // An etcd that is not this keeper's child is seen to end all the same.
    rig.kill_etcd("n1");
    rig.wait_report("n1", "etcd runs again", |report| {
        (report.ends == 1 && report.etcd_pid.is_some()).then_some(())
    });
    rig.wait_well("n1");
    assert_eq!(rig.ctl("n1", &["get", "key", "--print-value-only"]), "value\n");
}

#[test]
fn all_machines_lose_power_and_the_store_is_as_it_was() {
    let nodes = ["n1", "n2", "n3"];
    let mut rig = Rig::up(&nodes);
    rig.ctl("n1", &["put", "key", "value"]);
    let before: Vec<_> = nodes.iter().map(|node| rig.wait_well(node).member).collect();
    for node in nodes {
        rig.kill_both(node);
    }
    for node in nodes {
        rig.start(node, &nodes);
    }
    let after: Vec<_> = nodes.iter().map(|node| rig.wait_well(node).member).collect();
    assert_eq!(before, after);
    assert_eq!(rig.ctl("n3", &["get", "key", "--print-value-only"]), "value\n");
}
