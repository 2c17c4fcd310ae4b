//! What nodes may not share: ports and directories of one machine.

use std::path::Path;

use howdah_base::NodeName;

use super::super::nodes::{is_loopback, same_machine};
use super::super::report::Report;
use crate::types::{ClusterSpec, NodeSpec, StoreSpec};

/// The longest path of a Unix socket on Linux, in bytes.
const SOCKET_PATH_MAX: usize = 107;
/// The longest socket that is made below a node's state directory.
const SOCKET_IN_STATE_DIR: &str = "/run/.s.PGSQL.65535";

pub(super) fn check(report: &Report<'_>, spec: &ClusterSpec) {
    let ports: Vec<_> = spec.nodes.iter().flat_map(ports).collect();
    let dirs: Vec<_> = spec.nodes.iter().flat_map(dirs).collect();
    for_pairs(&ports, |one, two| check_ports(report, one, two));
    for_pairs(&dirs, |one, two| check_dirs(report, one, two));
    for (name, node) in &spec.nodes {
        check_reachable(report, name, node);
        check_socket(report, name, node);
    }
    check_store(report, spec, &dirs);
}

/// Calls `check` for each two of `things`, the earlier one first.
fn for_pairs<T>(things: &[T], mut check: impl FnMut(&T, &T)) {
    for (index, two) in things.iter().enumerate() {
        things.iter().take(index).for_each(|one| check(one, two));
    }
}

struct Port<'a> {
    node: &'a NodeName,
    host: &'a str,
    key: &'static str,
    number: u16,
}

fn ports<'a>((name, node): (&'a NodeName, &'a NodeSpec)) -> Vec<Port<'a>> {
    let port = |key, number| Port { node: name, host: &node.host, key, number };
    vec![
        port("postgres_port", node.postgres_port),
        port("peer_port", node.peer_port),
        port("http_port", node.http_port),
        port("rw_port", node.rw_port),
        port("ro_port", node.ro_port),
        port("any_port", node.any_port),
        port("store_port", node.store_port),
        port("store_peer_port", node.store_peer_port),
    ]
}

fn check_ports(report: &Report<'_>, one: &Port<'_>, two: &Port<'_>) {
    if one.number != two.number || !same_machine(one.host, two.host) {
        return;
    }
    let place = |port: &Port<'_>| format!("nodes.{}.{}", port.node, port.key);
    let (one, two, number) = (place(one), place(two), one.number);
    let what = format!("`{one}` and `{two}` are the same port of one machine: `{number}`");
    // Point at the one that the file names: the other may be a default.
    let paths = if report.names(&two) { [&*two, &*one] } else { [&*one, &*two] };
    report.conflict(&paths, what, "give each its own, or drop it for a default".to_owned());
}

struct Dir<'a> {
    node: &'a NodeName,
    host: &'a str,
    key: &'static str,
    path: &'a Path,
}

fn dirs<'a>((name, node): (&'a NodeName, &'a NodeSpec)) -> [Dir<'a>; 2] {
    let dir = |key, path| Dir { node: name, host: &node.host, key, path };
    [dir("data_dir", &node.data_dir), dir("state_dir", &node.state_dir)]
}

fn check_dirs(report: &Report<'_>, one: &Dir<'_>, two: &Dir<'_>) {
    let nested = one.path.starts_with(two.path) || two.path.starts_with(one.path);
    if !nested || !same_machine(one.host, two.host) {
        return;
    }
    let place = |dir: &Dir<'_>| format!("nodes.{}.{}", dir.node, dir.key);
    let how =
        if one.path == two.path { "are the same directory" } else { "lie one inside the other" };
    let shown = two.path.display();
    let what = format!("`{}` and `{}` {how}: `{shown}`", place(one), place(two));
    let (one, two) = (place(one), place(two));
    let paths = if report.names(&two) { [&*two, &*one] } else { [&*one, &*two] };
    report.conflict(&paths, what, "give each a directory of its own".to_owned());
}

/// A node that others know by an address of the network must listen on the network.
fn check_reachable(report: &Report<'_>, name: &NodeName, node: &NodeSpec) {
    let only_here = node.listen.iter().all(|address| address.is_loopback());
    if is_loopback(&node.host) || !only_here {
        return;
    }
    let (host, listen) = (format!("nodes.{name}.host"), format!("nodes.{name}.listen"));
    let what = format!("the node listens on loopback only, so nobody reaches `{}`", node.host);
    let hint = format!("add `listen = [\"{}\"]` (an address of this machine)", node.host);
    report.conflict(&[&host, &listen], what, hint);
}

fn check_socket(report: &Report<'_>, name: &NodeName, node: &NodeSpec) {
    let length = node.state_dir.as_os_str().len() + SOCKET_IN_STATE_DIR.len();
    if length <= SOCKET_PATH_MAX {
        return;
    }
    let what = format!(
        "PostgreSQL's socket below it would pass {SOCKET_PATH_MAX} bytes: `{}`",
        node.state_dir.display()
    );
    let most = SOCKET_PATH_MAX - SOCKET_IN_STATE_DIR.len();
    let hint = format!("choose a `base_dir` or `state_dir` so that this has at most {most} bytes");
    report.conflict(&[&format!("nodes.{name}.state_dir"), "base_dir"], what, hint);
}

/// The embedded store is a file: all nodes must be able to open it, and no server may own it.
fn check_store(report: &Report<'_>, spec: &ClusterSpec, dirs: &[Dir<'_>]) {
    let StoreSpec::Embedded { path } = &spec.store else { return };
    let mut hosts = spec.nodes.iter();
    if let Some((_, first)) = hosts.next() {
        for (name, node) in hosts.filter(|(_, node)| !same_machine(&first.host, &node.host)) {
            let what = format!("an embedded store serves one machine only: `{}`", node.host);
            let hint = "write `store = { etcd = { managed = true } }`, or give all nodes the \
                        same `host`";
            report.conflict(&[&format!("nodes.{name}.host")], what, hint.to_owned());
        }
    }
    for dir in dirs.iter().filter(|dir| path.starts_with(dir.path) || dir.path.starts_with(path)) {
        let owner = format!("nodes.{}.{}", dir.node, dir.key);
        let what = format!("the store and `{owner}` share a directory: `{}`", path.display());
        let hint = "give the store a directory of its own".to_owned();
        let paths = if report.names("store.path") {
            ["store.path", &*owner]
        } else {
            [&*owner, "store.path"]
        };
        report.conflict(&paths, what, hint);
    }
}
