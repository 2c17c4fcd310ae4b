//! Patroni's and HAProxy's files: the examples that their packages ship, with our ports, paths
//! and password, and nothing tuned.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Member, Node, PASSWORD};

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
    for Node { name, host, postgres, rest } in nodes {
        text += &format!("    server {name} {host}:{postgres} maxconn 100 check port {rest}\n");
    }
    text
}

/// `postgres0.yml` of Patroni's package, for one node.
pub(super) fn node(node: &Node, root: &Path, etcd: &[Member]) -> String {
    let Node { name, host, postgres, rest } = node;
    let etcd = etcd.iter().map(|member| format!("{}:{}", member.host, member.client));
    let etcd = etcd.collect::<Vec<_>>().join(",");
    let network = if host.is_loopback() { "127.0.0.1/32" } else { "10.77.0.0/24" };
    let (root, bin) = (root.display(), bin_dir());
    let bin = bin.display();
    format!(
        "scope: bench
name: {name}
restapi:
  listen: {host}:{rest}
  connect_address: {host}:{rest}
etcd3:
  hosts: {etcd}
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
  - host replication replicator {network} md5
  - host all all 0.0.0.0/0 md5
postgresql:
  listen: {host}:{postgres}
  connect_address: {host}:{postgres}
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
