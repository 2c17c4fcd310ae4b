//! etcd hangs: on one machine, and on all: nobody notices, because the voters promise the primary
//! to wait. What hangs is stopped by SIGSTOP: its sockets stay open and nothing answers.

use std::time::{Duration, Instant};

use howdah_testkit::{Cluster, Node, wait};

use crate::watch::Watch;
use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

#[test]
fn the_member_that_leads_etcd_hangs_and_writes_go_on() {
    let Some(setup) = three() else { return };
    let cluster = setup.start();
    let primary = cluster.primary();
    let (term, server) = (cluster.status().term, primary.postmaster_pid());
    for node in cluster.nodes() {
        lead(&cluster, node);
        let watch = Watch::start(&cluster);
        let hung_at = Instant::now();
        node.freeze_etcd();
        // Longer than a lease.
        let stays = wait::stays(Duration::from_secs(9), || primary.postmaster_pid() == server);
        assert!(stays, "etcd of {} hangs\n{}", node.name, cluster.seen());
        watch.wait_for_rows(100, ROWS_WITHIN);
        node.thaw_etcd();
        cluster.wait_whole();
        let gap = watch.judge(hung_at);
        assert!(gap < Duration::from_secs(2), "writes do not wait for etcd; no row for {gap:?}");
    }
    assert_eq!(cluster.status().term, term, "no failover");
    // etcd before 3.4.31 may end leases early when its hung leader goes on.
    let lines = |node: &Node| node.log_text().matches("rule=114").count();
    let taken: usize = cluster.nodes().iter().map(lines).sum();
    eprintln!("lines of rule 114, the key is taken again: {taken}");
}

/// How long all of etcd hangs: several leases. `HOWDAH_OUTAGE_S` makes it longer.
fn outage() -> Duration {
    let asked = std::env::var("HOWDAH_OUTAGE_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(20))
}

#[test]
fn all_of_etcd_hangs_and_writes_go_on() {
    let Some(setup) = three() else { return };
    let cluster = setup.start();
    let primary = cluster.primary();
    let (term, server) = (cluster.status().term, primary.postmaster_pid());
    let watch = Watch::start(&cluster);
    watch.wait_for_rows(100, ROWS_WITHIN);
    let hung_at = Instant::now();
    for node in cluster.nodes() {
        node.freeze_etcd();
    }
    let stays = wait::stays(outage(), || {
        primary.postmaster_pid() == server && primary.health("/primary") == Some(200)
    });
    assert!(stays, "{}", cluster.seen());
    for node in cluster.nodes() {
        node.thaw_etcd();
    }
    cluster.wait_whole();
    let gap = watch.judge(hung_at);
    assert!(gap < Duration::from_secs(2), "writes do not wait for the store; no row for {gap:?}");
    assert_eq!(cluster.status().term, term, "no failover");
    assert_eq!(primary.postmaster_pid(), server, "the same server");
}

/// Makes this node's member lead etcd.
pub fn lead(cluster: &Cluster, node: &Node) {
    cluster.wait_for("that member leads etcd", TAKEOVER_WITHIN, || {
        let leader = cluster.nodes().iter().find(|each| leads(each))?;
        if leader.name == node.name {
            return Some(());
        }
        let list = ctl(leader, &["member", "list"])?;
        let line = list.lines().find(|line| line.contains(&format!(" {}, ", node.name)))?;
        let id = line.split(", ").next()?.to_owned();
        ctl(leader, &["move-leader", &id]);
        None
    });
}

fn leads(node: &Node) -> bool {
    // Endpoint, id, version, size, whether it leads.
    let status = ctl(node, &["endpoint", "status"]).unwrap_or_default();
    status.split(", ").nth(4) == Some("true")
}

/// `etcdctl` on a machine, at its own member; `None` when it fails.
fn ctl(node: &Node, arguments: &[&str]) -> Option<String> {
    let tls = node.base_dir.join("tls");
    let mut command = node.command("etcdctl".as_ref());
    command
        .env("ETCDCTL_API", "3")
        .args(["--command-timeout=3s", "--dial-timeout=2s"])
        .arg(format!("--endpoints=https://{}:{}", node.host, node.ports.store))
        .arg(format!("--cacert={}", tls.join("ca.crt").display()))
        .arg(format!("--cert={}", tls.join(format!("{}.crt", node.name)).display()))
        .arg(format!("--key={}", tls.join(format!("{}.key", node.name)).display()))
        .args(arguments);
    let output = command.output().expect("etcdctl: install etcd-client");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
