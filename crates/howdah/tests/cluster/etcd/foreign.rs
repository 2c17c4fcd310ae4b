//! An etcd that somebody else runs: TLS, a password, and a cluster that loses its primary.

use std::path::PathBuf;

use howdah_testkit::{EtcdCluster, EtcdSetup, Setup, Store, Writer};

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

/// Writes how `etcd` is reached into the cluster file, with everything that it asks for.
pub fn on(etcd: &EtcdCluster, setup: Setup) -> Setup {
    let quoted: Vec<String> = etcd.endpoints().iter().map(|e| format!("{e:?}")).collect();
    let path = |path: PathBuf| format!("{:?}", path.display().to_string());
    setup
        .on(Store::Embedded)
        .set("store.etcd", "managed", "false")
        .set("store.etcd", "endpoints", &format!("[{}]", quoted.join(", ")))
        .set("store.etcd", "prefix", "\"/howdah/test/\"")
        .set("store.etcd", "user", &format!("{:?}", EtcdCluster::USER))
        .set("store.etcd", "password", &format!("{{ file = {} }}", path(password(etcd))))
        .set("store.etcd", "ca", &path(etcd.ca()))
        .set("store.etcd", "cert", &path(etcd.certificate()))
        .set("store.etcd", "key", &path(etcd.key()))
}

/// The file in which a cluster looks for etcd's password.
pub fn password(etcd: &EtcdCluster) -> PathBuf {
    etcd.ca().with_file_name("password")
}

pub fn etcd() -> EtcdCluster {
    let setup =
        EtcdSetup { tls: true, only_below: Some("/howdah/test/".to_owned()), ..Default::default() };
    let etcd = EtcdCluster::start(3, setup);
    // Nodes run as another user than this test.
    std::fs::write(password(&etcd), EtcdCluster::PASSWORD).expect("written");
    for file in [etcd.ca(), etcd.certificate(), etcd.key(), password(&etcd)] {
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(file, readable).expect("set");
    }
    etcd
}

#[test]
fn a_cluster_on_an_etcd_that_is_there_already() {
    let mut etcd = etcd();
    let cluster = on(&etcd, three()).start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    assert!(cluster.primary().keeper_pid().is_none(), "nobody keeps what others run");
    let leader = etcd.leader();
    etcd.kill(leader);
    client.wait_for_rows(100, ROWS_WITHIN);
    let old = cluster.primary();
    old.kill9_everything();
    cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    client.wait_for_rows(100, ROWS_WITHIN);
    etcd.restart(leader);
    old.start();
    cluster.wait_whole();
    client.stop_and_check();
}
