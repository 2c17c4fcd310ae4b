//! Who is not let in: a node of another cluster, another file, another machine of the same name,
//! a wrong password. Each ends with a clear word, and nothing has changed.

use std::time::Duration;

use howdah_testkit::{Cluster, EtcdCluster, EtcdSetup, Node, Setup, Store};

use super::{ctl, foreign};
use crate::{TAKEOVER_WITHIN, three};

const REFUSED_WITHIN: Duration = Duration::from_secs(40);
/// Exit code of a node that no new start would help.
const FOR_GOOD: i32 = 78;
/// Of one that may be let in later.
const FOR_NOW: i32 = 1;

fn words(node: &Node, code: i32) -> String {
    let output = node.start_refused(REFUSED_WITHIN);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words}");
    assert!(!node.data_dir.join("PG_VERSION").exists(), "nothing was made\n{words}");
    words
}

/// A plain etcd, and a cluster of one node on it.
fn plain(etcd: &EtcdCluster, setup: Setup) -> Setup {
    let quoted: Vec<String> = etcd.endpoints().iter().map(|e| format!("{e:?}")).collect();
    setup
        .on(Store::Embedded)
        .set("store.etcd", "endpoints", &format!("[{}]", quoted.join(", ")))
        .set("store.etcd", "prefix", "\"/shared/\"")
}

#[test]
fn another_cluster_at_the_same_prefix() {
    let etcd = EtcdCluster::start(1, EtcdSetup::default());
    let first = plain(&etcd, three()).start();
    let before = etcd.ctl(&["get", "/shared/identity", "--print-value-only"]);

    let other = plain(&etcd, three()).set("", "cluster", "\"other\"").prepare();
    let said = words(other.node("n1"), FOR_GOOD);
    assert!(said.contains("holds another cluster, `test`"), "{said}");
    assert!(said.contains("store.etcd.prefix"), "{said}");

    // The same name, made on another machine: another CA.
    let namesake = plain(&etcd, three()).prepare();
    let said = words(namesake.node("n2"), FOR_GOOD);
    assert!(said.contains("with another CA"), "{said}");
    assert_eq!(etcd.ctl(&["get", "/shared/identity", "--print-value-only"]), before);
    first.wait_whole();
}

#[test]
fn a_file_that_differs_between_nodes() {
    let mut cluster = three().on(Store::Etcd).start();
    let name = cluster.standbys()[0].name.clone();
    cluster.node(&name).stop();
    let before = cluster.file.clone();
    cluster.file.set("ha", "lease", "\"9s\"");
    cluster.write_file();
    let output = cluster.node(&name).start_refused(REFUSED_WITHIN);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(FOR_GOOD), "{said}");
    assert!(said.contains("differs from the one in force"), "{said}");
    assert!(said.contains("ha.lease: `9000 ms` here, `6000 ms` there"), "{said}");
    let copy = std::fs::read_to_string(cluster.base_dir().join("howdah.toml")).expect("read");
    assert!(!copy.contains("9s"), "howdah's own copy is as it was");
    // The same after somebody wrote that copy.
    cluster.howdah_ok(&["prepare"]);
    let output = cluster.node(&name).start_refused(REFUSED_WITHIN);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("differs from the one in force"), "{said}");
    // What does no harm is taken from the file in force.
    cluster.file = before;
    cluster.file.set("postgresql.parameters", "work_mem", "\"7MB\"");
    cluster.write_file();
    cluster.node(&name).start();
    cluster.wait_whole();
    let log = cluster.node(&name).log_text();
    assert!(log.contains("not the one in force, which is used"), "{log}");
    assert_ne!(cluster.node(&name).sql("SHOW work_mem").expect("asked"), "7MB");
}

/// A record that another agent of this name keeps alive, as a second machine would.
fn put_record_of_another(cluster: &Cluster, node: &str) {
    let key = format!("/howdah/test/members/{node}");
    let record = ctl(cluster, &["get", &key, "--print-value-only"]).expect("read");
    let mut record: serde_json::Value = serde_json::from_str(&record).expect("a record");
    record["agent"] = "elsewhere/0123456789abcdef".into();
    let lease = ctl(cluster, &["lease", "grant", "600"]).expect("granted");
    let lease = lease.split(' ').nth(1).expect("its id").to_owned();
    ctl(cluster, &["put", &key, &record.to_string(), &format!("--lease={lease}")]).expect("put");
}

#[test]
fn a_second_machine_of_the_same_name() {
    let cluster = three().on(Store::Etcd).start();
    let standby = cluster.standbys()[0];
    cluster.expect_error("another agent of this node has taken its place");
    // The one that runs sees that another has taken its place, and ends.
    put_record_of_another(&cluster, &standby.name);
    let ended = cluster.wait_for("the first agent ends", TAKEOVER_WITHIN, || standby.agent_end());
    assert_eq!(ended.code(), Some(FOR_NOW), "{}", standby.log_tail(10));
    assert!(standby.server_processes().is_empty(), "its server with it");
    let said = format!("another agent of {} runs on host `elsewhere`", standby.name);
    assert!(standby.log_text().contains(&said), "{}", standby.log_tail(10));
    // And it is refused as long as the other one lives.
    let output = standby.start_refused(REFUSED_WITHIN);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(FOR_NOW), "{words}");
    assert!(words.contains(&said), "{words}");
    let key = format!("/howdah/test/members/{}", standby.name);
    ctl(&cluster, &["del", &key]).expect("the other one is gone");
    standby.start();
    cluster.wait_whole();
}

/// The others' records are written as by clocks two hours ahead, which is how a machine looks to
/// itself whose own clock is two hours behind.
#[test]
fn a_new_machine_whose_clock_is_far_behind() {
    let cluster = three().on(Store::Etcd).start();
    let keys = ["n1", "n2"].map(|node| format!("/howdah/test/members/{node}"));
    let records = keys.each_ref().map(|key| {
        let text = ctl(&cluster, &["get", key, "--print-value-only"]).expect("read");
        let mut record: serde_json::Value = serde_json::from_str(&text).expect("a record");
        let at = record["at_unix_ms"].as_u64().expect("a time");
        record["at_unix_ms"] = (at + 2 * 3600 * 1000).into();
        record.to_string()
    });
    // Their members of etcd go on.
    cluster.nodes().iter().for_each(Node::stop);
    for (key, record) in keys.iter().zip(&records) {
        ctl(&cluster, &["put", key, record]).expect("put");
    }
    let node = cluster.node("n3");
    std::fs::remove_file(node.state_dir.join("admitted.json")).expect("it never took part");
    let output = node.start_refused(REFUSED_WITHIN);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(FOR_NOW), "{said}");
    assert!(said.contains("this machine's clock is at least"), "{said}");
    assert!(said.contains("timedatectl"), "{said}");
    for key in &keys {
        ctl(&cluster, &["del", key]).expect("removed");
    }
    cluster.start_all();
    cluster.wait_whole();
}

#[test]
fn a_machine_without_etcd_says_what_to_install() {
    let cluster = three().on(Store::Etcd).set("store.etcd", "bin", "\"/no/such/etcd\"").prepare();
    let said = words(cluster.node("n1"), FOR_NOW);
    assert!(said.contains("etcd is not installed on this machine"), "{said}");
    assert!(said.contains("apt-get install etcd-server"), "{said}");
}

#[test]
fn a_wrong_password_for_etcd() {
    let etcd = foreign::etcd();
    std::fs::write(foreign::password(&etcd), "not the one").expect("written");
    let cluster = foreign::on(&etcd, three()).prepare();
    let said = words(cluster.node("n1"), FOR_NOW);
    assert!(said.contains("authentication failed"), "{said}");
    assert!(said.contains("`user` and `password`"), "{said}");
    assert_eq!(etcd.ctl(&["get", "/howdah/", "--prefix", "--keys-only"]), "");
}
