//! Patroni's and HAProxy's files: the examples that their packages ship, with our ports, paths
//! and password, and nothing tuned.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Node, PASSWORD};

/// `haproxy.cfg` of Patroni's documents. Clients come in through `entry`.
pub(super) fn haproxy(nodes: &[Node], entry: u16, stats: u16) -> String {
    let mut text = format!(
        "global
    maxconn 100

defaults
    log global
    mode tcp
    retries 2
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check 5s

listen stats
    mode http
    bind 127.0.0.1:{stats}
    stats enable
    stats uri /

listen batman
    bind 127.0.0.1:{entry}
    option httpchk
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
"
    );
    for Node { name, postgres, rest } in nodes {
        text += &format!("    server {name} 127.0.0.1:{postgres} maxconn 100 check port {rest}\n");
    }
    text
}

/// `postgres0.yml` of Patroni's package, for one node.
pub(super) fn node(node: &Node, root: &Path, etcd: u16) -> String {
    let Node { name, postgres, rest } = node;
    let (root, bin) = (root.display(), bin_dir());
    let bin = bin.display();
    format!(
        "scope: bench
name: {name}
restapi:
  listen: 127.0.0.1:{rest}
  connect_address: 127.0.0.1:{rest}
etcd3:
  host: 127.0.0.1:{etcd}
bootstrap:
  dcs:
    ttl: 30
    loop_wait: 10
    retry_timeout: 10
    maximum_lag_on_failover: 1048576
    postgresql:
      use_pg_rewind: true
  initdb:
  - encoding: UTF8
  - data-checksums
  pg_hba:
  - host replication replicator 127.0.0.1/32 md5
  - host all all 0.0.0.0/0 md5
postgresql:
  listen: 127.0.0.1:{postgres}
  connect_address: 127.0.0.1:{postgres}
  data_dir: {root}/data/{name}
  bin_dir: {bin}
  pgpass: {root}/pgpass-{name}
  authentication:
    replication:
      username: replicator
      password: {PASSWORD}
    superuser:
      username: postgres
      password: {PASSWORD}
    rewind:
      username: rewind_user
      password: {PASSWORD}
  parameters:
    unix_socket_directories: '{root}'
"
    )
}

/// The newest of Debian's server directories.
fn bin_dir() -> PathBuf {
    let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = found.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.pop().unwrap_or_default()
}
