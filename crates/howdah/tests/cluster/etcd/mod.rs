//! The nodes' own etcd as the store: the most telling stories once more, and those that only a
//! store of several machines has. `make test-etcd` runs all stories on it.

use std::path::Path;
use std::process::Command;

use howdah_testkit::{Cluster, Node};

mod foreign;
mod hosts;
mod members;
mod refused;
mod retake;
mod stories;
mod witness;

/// `etcdctl` with a node's certificate, at all members.
fn ctl(cluster: &Cluster, arguments: &[&str]) -> Result<String, String> {
    let tls = cluster.base_dir().join("tls");
    let node = &cluster.nodes()[0].name;
    let endpoints: Vec<String> = cluster.nodes().iter().map(endpoint).collect();
    ctl_at(&tls, node, &endpoints.join(","), arguments)
}

fn ctl_at(tls: &Path, who: &str, endpoints: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--command-timeout=3s", "--dial-timeout=2s"])
        .arg(format!("--endpoints={endpoints}"))
        .arg("--cacert")
        .arg(tls.join("ca.crt"))
        .arg("--cert")
        .arg(tls.join(format!("{who}.crt")))
        .arg("--key")
        .arg(tls.join(format!("{who}.key")))
        .args(arguments)
        .output()
        .expect("etcdctl: install etcd-client");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn endpoint(node: &Node) -> String {
    format!("https://127.0.0.1:{}", node.ports.store)
}

/// The members by name, those that count.
fn members(cluster: &Cluster) -> Vec<String> {
    let list = ctl(cluster, &["member", "list"]).unwrap_or_default();
    let mut names: Vec<String> = list
        .lines()
        .map(|line| line.split(", ").collect::<Vec<_>>())
        .filter(|fields| fields.get(1) == Some(&"started") && fields.last() == Some(&"false"))
        .map(|fields| fields[2].to_owned())
        .collect();
    names.sort();
    names
}

/// A member's id, for `etcdctl move-leader`.
fn id_of(cluster: &Cluster, node: &Node) -> Option<String> {
    let list = ctl(cluster, &["member", "list"]).ok()?;
    let line = list.lines().find(|line| line.contains(&format!(" {}, ", node.name)))?;
    Some(line.split(", ").next()?.to_owned())
}

/// Lets this node's member lead etcd.
fn make_leader(cluster: &Cluster, node: &Node) {
    let id = id_of(cluster, node).expect("a member");
    let leads = |at: &Node| {
        let status = ctl_at(
            &cluster.base_dir().join("tls"),
            &node.name,
            &endpoint(at),
            &["endpoint", "status"],
        );
        // Endpoint, id, version, size, whether it leads.
        status.is_ok_and(|line| line.split(", ").nth(4) == Some("true"))
    };
    cluster.wait_for("etcd is led from that node", crate::TAKEOVER_WITHIN, || {
        if leads(node) {
            return Some(());
        }
        let leader = cluster.nodes().iter().find(|node| leads(node))?;
        let tls = cluster.base_dir().join("tls");
        ctl_at(&tls, &node.name, &endpoint(leader), &["move-leader", &id]).ok();
        None
    });
}
