//! One file of each form that Patroni takes.

use super::*;

const FULL: &str = r#"
scope: 15-main
namespace: /postgresql-common/
name: pg1
restapi:
  listen: 0.0.0.0:8008
  connect_address: 10.0.0.1:8008
  authentication: {username: rest, password: hunter2}
etcd3:
  hosts: 10.0.0.1:2379,10.0.0.2:2379
  protocol: https
  cacert: /etc/ca.pem
bootstrap:
  dcs:
    ttl: 20
    maximum_lag_on_failover: 1048576
    synchronous_mode: quorum
    synchronous_mode_strict: on
    slots:
      feed: {type: logical, database: shop, plugin: pgoutput}
      barman: {type: physical}
    postgresql:
      parameters: {max_connections: 100, wal_log_hints: on}
      pg_hba:
      - host all all 10.0.0.0/8 md5
postgresql:
  listen: "*:5432"
  connect_address: "[fd00::1]:5433"
  data_dir: /var/lib/postgresql/15/main
  bin_dir: ""
  authentication:
    superuser: {username: postgres, password:}
    replication: {username: repl, password: hunter3}
  callbacks: {on_role_change: /bin/cb --x}
tags: {nofailover: false, rack: 7}
"#;

#[test]
fn a_full_file_is_read() {
    let config = read(FULL).expect("YAML");
    assert_eq!(config.scope.as_deref(), Some("15-main"));
    assert_eq!(config.namespace, "/postgresql-common/");
    let dcs = config.dcs.expect("a store");
    assert_eq!((dcs.kind, dcs.https, dcs.hosts.len()), (DcsKind::Etcd3, true, 2));
    assert_eq!(dcs.hosts[1].to_string(), "10.0.0.2:2379");
    assert_eq!(config.restapi.password.expect("a password").expose(), "hunter2");
    let server = config.postgresql;
    assert_eq!(server.connect_address.expect("an address").to_string(), "[fd00::1]:5433");
    assert_eq!(server.listen.expect("listen"), Listen { hosts: vec!["*".into()], port: 5432 });
    assert_eq!((server.bin_dir, server.superuser.password), (None, None));
    assert_eq!(server.replication.user.as_deref(), Some("repl"));
    assert_eq!(server.callbacks["on_role_change"], "/bin/cb --x");
    assert_eq!(config.tags["rack"], "7");
    let shared = config.bootstrap_dcs;
    assert_eq!((shared.ttl, shared.synchronous), (Some(20), Synchronous::Quorum));
    assert!(shared.synchronous_mode_strict && !shared.pause && !shared.standby_cluster);
    assert_eq!(
        shared.slots.into_iter().collect::<Vec<_>>(),
        [("barman".into(), false), ("feed".into(), true)]
    );
    assert_eq!(shared.parameters["wal_log_hints"], "on");
    assert_eq!(shared.pg_hba, Some(vec!["host all all 10.0.0.0/8 md5".into()]));
}

#[test]
fn no_secret_is_printed() {
    let said = format!("{:?}", read(FULL).expect("YAML"));
    assert!(!said.contains("hunter"), "{said}");
}

#[test]
fn the_environment_wins() {
    let variables = [
        ("PATRONI_SCOPE", "shop"),
        ("PATRONI_ETCD3_HOSTS", "'a:2379','b:2379'"),
        ("PATRONI_SUPERUSER_PASSWORD", "hunter4"),
        ("PATRONI_POSTGRESQL_DATA_DIR", "/data"),
        ("PATRONI_RESTAPI_USERNAME", "other"),
        ("HOME", "/root"),
    ];
    let config = read_with_environment(FULL, variables).expect("YAML");
    assert_eq!(config.scope.as_deref(), Some("shop"));
    let hosts: Vec<_> = config.dcs.expect("a store").hosts.iter().map(Address::to_string).collect();
    assert_eq!(hosts, ["a:2379", "b:2379"]);
    assert_eq!(config.postgresql.superuser.password.expect("given").expose(), "hunter4");
    assert_eq!(config.postgresql.data_dir, Some("/data".into()));
    assert_eq!(config.restapi.user.as_deref(), Some("other"));
    let alone = read_with_environment("", variables).expect("YAML");
    assert_eq!(alone.scope.as_deref(), Some("shop"));
}

#[test]
fn hosts_come_in_many_forms() {
    let hosts = |text: &str| -> Vec<String> {
        let dcs = read(text).expect("YAML").dcs.expect("a store");
        dcs.hosts.iter().map(Address::to_string).collect()
    };
    assert_eq!(hosts("etcd3: {host: 'a:1'}"), ["a:1"]);
    assert_eq!(hosts("etcd: {host: a}"), ["a:2379"]);
    assert_eq!(hosts("etcd3: {hosts: [a, 'http://b:1']}"), ["a:2379", "b:1"]);
    assert_eq!(hosts("zookeeper: {hosts: \"'a:1', 'b:2'\"}"), ["a:1", "b:2"]);
    assert_eq!(hosts("consul: {host: a}"), ["a:8500"]);
    assert_eq!(hosts("raft: {self_addr: 'a:1', partner_addrs: ['b:1']}"), ["a:1", "b:1"]);
    let dcs = read("etcd3: {url: 'https://me:pw@a:1/'}").expect("YAML").dcs.expect("a store");
    assert_eq!((dcs.https, dcs.user.as_deref()), (true, Some("me")));
    assert_eq!(dcs.password.expect("given").expose(), "pw");
}

#[test]
fn what_the_store_holds_is_read_from_json() {
    let text = r#"{"ttl":30,"synchronous_mode":true,"pause":true,"postgresql":{"parameters":{"work_mem":"8MB"}}}"#;
    let shared = read_dynamic(text).expect("JSON");
    assert_eq!((shared.ttl, shared.synchronous, shared.pause), (Some(30), Synchronous::On, true));
    assert_eq!(shared.parameters["work_mem"], "8MB");
}
