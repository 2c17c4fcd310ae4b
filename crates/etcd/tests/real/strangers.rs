//! Who is not let in, and whom a keeper does not join.

use std::fs;

use howdah_etcd::Phase;

use crate::rig::{Rig, name};

#[test]
fn only_nodes_are_let_in_by_the_clusters_ca() {
    let rig = Rig::up(&["n1"]);
    let authority = rig.authority("tls");
    authority.replicator(None).expect("a certificate");
    authority.operator("somebody", &rig.path("tls"), None).expect("a certificate");
    assert!(rig.ctl_as("n1", "n1", &["get", "key"]).is_ok());
    for who in ["replicator", "operator"] {
        assert!(rig.ctl_as("n1", who, &["get", "key"]).is_err(), "{who}");
    }
}

#[test]
fn a_node_of_another_ca_joins_nothing() {
    let mut rig = Rig::up(&["n1"]);
    let mut options = rig.options("n1", &["n1"]);
    rig.authority("other");
    // A second machine, by another CA, whose file names the first.
    let place = howdah_etcd::Place { client_port: 1, peer_port: 1, ..options.place.clone() };
    options.members.insert(name("n2"), place.clone());
    let own = |file: &str| rig.path(&format!("n2/{file}"));
    fs::create_dir_all(own("store")).expect("made");
    options.node = name("n2");
    options.place = place;
    options.data_dir = own("store");
    options.socket = own("store.sock");
    options.founding = own("founding");
    options.tls.ca = rig.path("other/ca.crt");
    options.tls.certificate = rig.path("other/n1.crt");
    options.tls.key = rig.path("other/n1.key");
    rig.may_found(&["n2"]);
    rig.start_with(options);
    let why = rig.wait_report("n2", "refuses", |report| {
        (report.phase == Phase::Refused).then(|| report.why.clone())
    });
    assert!(why.contains("`n1`") && why.contains("not of this cluster's CA"), "{why}");
    assert!(rig.etcd("n2").is_none());
}
