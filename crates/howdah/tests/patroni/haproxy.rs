//! A real HAProxy with the checks of Patroni's documents follows a switchover.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use howdah_testkit::{Cluster, Plan, PortLease, writer};
use tokio_postgres::Config;

use crate::nodes;

/// HAProxy notices within three checks of three seconds, up and down; see [`file`].
const NOTICES_WITHIN: Duration = Duration::from_secs(40);

#[test]
fn haproxy_with_patronis_checks_follows_a_switchover() {
    let cluster = nodes(3).start();
    let balancer = Balancer::start(&cluster);
    let old = cluster.primary().name.clone();
    balancer.wait_for_primary(&cluster, &old);
    balancer.wait_for_standbys(&cluster, &old);
    let session = Session::open(&cluster, balancer.writes);

    cluster.howdah_ok(&["switchover"]);
    let new = cluster.wait_for_other_primary(&old, NOTICES_WITHIN).name.clone();
    cluster.wait_for("the session to the old primary is cut", NOTICES_WITHIN, || {
        session.is_closed().then_some(())
    });
    balancer.wait_for_primary(&cluster, &new);
    cluster.wait_whole();
    balancer.wait_for_standbys(&cluster, &new);
}

/// HAProxy in front of PostgreSQL's own ports: one for the primary, one for standbys.
struct Balancer {
    child: Child,
    writes: u16,
    reads: u16,
    socket: PathBuf,
    _ports: PortLease,
}

impl Balancer {
    fn start(cluster: &Cluster) -> Balancer {
        let mut ports = PortLease::take();
        let (writes, reads) = (ports.next_port(), ports.next_port());
        let path = cluster.scratch().join("haproxy.cfg");
        let socket = cluster.scratch().join("haproxy.sock");
        fs::write(&path, file(cluster, &socket, writes, reads)).expect("write HAProxy's file");
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&path)
            .env("PATH", "/usr/sbin:/usr/bin:/bin")
            .current_dir(cluster.scratch())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start HAProxy: install haproxy");
        Balancer { child, writes, reads, socket, _ports: ports }
    }

    /// Writes arrive at this node and nowhere else, and can be made.
    #[track_caller]
    fn wait_for_primary(&self, cluster: &Cluster, name: &str) {
        self.wait_for_checks(cluster, "primary", |node| node == name);
        let wanted = cluster.node(name).ports.postgres.to_string();
        let plan = Plan::to(vec![client(cluster, self.writes)]);
        let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN 'a standby' \
                   ELSE inet_server_port()::text END";
        let rows = writer::query(&plan, sql).expect("HAProxy leads to a server");
        assert_eq!(rows, [wanted]);
    }

    /// Reads arrive at standbys, and at both of them.
    #[track_caller]
    fn wait_for_standbys(&self, cluster: &Cluster, primary: &str) {
        self.wait_for_checks(cluster, "replicas", |node| node != primary);
        let plan = Plan::to(vec![client(cluster, self.reads)]);
        let others = cluster.nodes().iter().filter(|node| node.name != primary);
        let mut wanted: Vec<String> = others.map(|node| node.ports.postgres.to_string()).collect();
        let sql = "SELECT inet_server_port()::text";
        cluster.wait_for("HAProxy leads to both standbys", NOTICES_WITHIN, || {
            let rows = writer::query(&plan, sql).ok()?;
            wanted.retain(|port| !rows.contains(port));
            wanted.is_empty().then_some(())
        });
    }

    /// HAProxy takes every server for one that is up until it has failed three checks.
    #[track_caller]
    fn wait_for_checks(&self, cluster: &Cluster, listen: &str, up: impl Fn(&str) -> bool) {
        let names = || cluster.nodes().iter().map(|node| node.name.clone());
        let wanted: BTreeMap<String, bool> = names().map(|n| (n.clone(), up(&n))).collect();
        cluster.wait_for(&format!("HAProxy's checks of `{listen}`"), NOTICES_WITHIN, || {
            let mut found = self.states(listen)?;
            found.retain(|name, _| wanted.contains_key(name));
            (found == wanted).then_some(())
        });
    }

    /// Whether HAProxy takes each server of a section for up, from its CSV: section, server, and
    /// in the eighteenth column the state (HAProxy's management guide, 9.1).
    fn states(&self, listen: &str) -> Option<BTreeMap<String, bool>> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.write_all(b"show stat\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let rows = rows.filter(|row| row.len() > 17 && row[0] == listen);
        Some(rows.map(|row| (row[1].to_owned(), row[17].starts_with("UP"))).collect())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// `haproxy.cfg` of Patroni's documents: its times, its checks, and what it does on a mark-down.
fn file(cluster: &Cluster, socket: &Path, writes: u16, reads: u16) -> String {
    let mut text = format!(
        "global
    maxconn 100
    stats socket {}

defaults
    log global
    mode tcp
    retries 2
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check 5s
",
        socket.display()
    );
    for (name, port, check) in [("primary", writes, "/primary"), ("replicas", reads, "/replica")] {
        text += &format!(
            "
listen {name}
    bind 127.0.0.1:{port}
    option httpchk HEAD {check}
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
"
        );
        for node in cluster.nodes() {
            let (postgres, http) = (node.ports.postgres, node.ports.http);
            let name = &node.name;
            text +=
                &format!("    server {name} 127.0.0.1:{postgres} maxconn 100 check port {http}\n");
        }
    }
    text
}

fn client(cluster: &Cluster, port: u16) -> Config {
    cluster.hosts(|_| port).remove(0)
}

/// One connection that stays.
struct Session {
    _client: tokio_postgres::Client,
    closed: tokio::task::JoinHandle<()>,
    _runtime: tokio::runtime::Runtime,
}

impl Session {
    fn open(cluster: &Cluster, port: u16) -> Session {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let config = client(cluster, port);
        let (client, connection) =
            runtime.block_on(config.connect(tokio_postgres::NoTls)).expect("a session");
        let closed = runtime.spawn(async move {
            connection.await.ok();
        });
        Session { _client: client, closed, _runtime: runtime }
    }

    fn is_closed(&self) -> bool {
        self.closed.is_finished()
    }
}
