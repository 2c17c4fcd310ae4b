//! The files of a Patroni cluster on one machine, as the examples of Patroni's package have them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::rig::{Node, PASSWORD};

/// `postgres0.yml`, with short times.
pub fn patroni(node: &Node, root: &Path, etcd: &str) -> String {
    let Node { name, rest, postgres, data_dir, .. } = node;
    let (root, data, bin) = (root.display(), data_dir.display(), bin_dir());
    let (etcd, bin) = (etcd.trim_start_matches("http://"), bin.display());
    format!(
        "scope: shop
name: {name}
restapi:
  listen: 127.0.0.1:{rest}
  connect_address: 127.0.0.1:{rest}
  authentication:
    username: admin
    password: {PASSWORD}
etcd3:
  host: {etcd}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    maximum_lag_on_failover: 1048576
    postgresql:
      use_pg_rewind: true
      parameters:
        max_connections: 100
        max_wal_senders: 10
        max_worker_processes: 8
  initdb:
  - encoding: UTF8
  - data-checksums
  pg_hba:
  - local all all trust
  - host replication replicator 127.0.0.1/32 md5
  - host all all 127.0.0.1/32 md5
postgresql:
  listen: 127.0.0.1:{postgres}
  connect_address: 127.0.0.1:{postgres}
  data_dir: {data}
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
    shared_buffers: 32MB
"
    )
}

/// `haproxy.cfg` of Patroni's documents: its times, its checks, what it does on a mark-down.
pub fn haproxy(nodes: &[Node], writes: u16) -> String {
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

listen primary
    bind 127.0.0.1:{writes}
    option httpchk HEAD /primary
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
"
    );
    for Node { name, postgres, rest, .. } in nodes {
        text += &format!("    server {name} 127.0.0.1:{postgres} maxconn 100 check port {rest}\n");
    }
    text
}

/// What `howdah import` made, with a place and ports that this test may use.
pub fn howdah(imported: &str, nodes: &[Node], base: &Path) -> String {
    let mut lines = vec![format!("base_dir = {:?}", base.display().to_string())];
    for line in imported.lines() {
        lines.push(line.to_owned());
        let head = |node: &&Node| line.starts_with(&format!("[nodes.{}]", node.name));
        if let Some(node) = nodes.iter().find(head) {
            let keys = ["peer_port", "rw_port", "ro_port", "any_port"];
            let ports = keys.iter().zip(node.free);
            lines.extend(ports.map(|(key, port)| format!("{key} = {port}")));
        }
    }
    lines.join("\n") + "\n"
}

/// The newest of Debian's server directories, or the chosen one.
fn bin_dir() -> PathBuf {
    if let Some(chosen) = howdah_testkit::majors::chosen_bin_dir() {
        return chosen;
    }
    let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = found.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.pop().unwrap_or_default()
}
