//! `[nodes.NAME]`: where each node lives.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use howdah_base::NodeName;

use super::keys;
use super::reader::{Table, Value};
use super::report::Report;
use super::{Paths, choice};
use crate::types::{NodeKind, NodeSpec, NodeTags};

/// Nodes of one cluster. More would not make it safer, and default ports would meet.
const NODES_MAX: usize = 32;

/// Default ports of the first node on a machine; each further node there adds
/// [`PORT_STEP`]: rw 6432, 6442, 6452 and so on, in the order of the file.
const RW_PORT: u16 = 6432;
const RO_PORT: u16 = 6433;
const ANY_PORT: u16 = 6434;
const POSTGRES_PORT: u16 = 5433;
const PEER_PORT: u16 = 7433;
const HTTP_PORT: u16 = 8008;
const STORE_PORT: u16 = 2379;
const STORE_PEER_PORT: u16 = 2380;
const PORT_STEP: u16 = 10;

/// The words of `kind`.
const KINDS: [(&str, NodeKind); 2] = [("data", NodeKind::Data), ("witness", NodeKind::Witness)];

/// Whether two hosts of a cluster file are one machine, as far as the file can tell.
pub fn same_machine(a: &str, b: &str) -> bool {
    a == b || (is_loopback(a) && is_loopback(b))
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(super) fn read(
    report: &Report<'_>,
    top: &Table<'_>,
    paths: &Paths<'_>,
    base_dir: &Path,
    complete: bool,
) -> BTreeMap<NodeName, NodeSpec> {
    let mut nodes = BTreeMap::new();
    let table = top.names("nodes");
    let mut hosts: Vec<String> = Vec::new();
    for (name, value) in table.entries() {
        let Some(table) = value.table(&keys::NODE) else { continue };
        let host = read_host(&table).unwrap_or_else(|| Ipv4Addr::LOCALHOST.to_string());
        let before = hosts.iter().filter(|other| same_machine(other, &host)).count();
        hosts.push(host.clone());
        let Ok(name) = name.parse::<NodeName>() else {
            let hint = "a name starts with a lower-case letter and has at most 30 lower-case \
                        letters, digits and `-`";
            value.wrong(format!("not a node's name: `{name}`"), hint);
            continue;
        };
        let step = u16::try_from(before.min(NODES_MAX)).unwrap_or_default() * PORT_STEP;
        let dir = base_dir.join("nodes").join(name.as_str());
        nodes.insert(name, read_node(&table, paths, host, step, &dir));
    }
    if complete && hosts.is_empty() {
        let hint = "add a table `[nodes.n1]`; it may be empty".to_owned();
        report.wrong("nodes", 1, "the cluster has no nodes: `nodes`".to_owned(), hint);
    } else if hosts.len() > NODES_MAX {
        let what = format!("more than {NODES_MAX} nodes: `{}`", hosts.len());
        report.conflict(&["nodes"], what, "split the data over several clusters".to_owned());
    }
    nodes
}

fn read_node(
    table: &Table<'_>,
    paths: &Paths<'_>,
    host: String,
    step: u16,
    dir: &Path,
) -> NodeSpec {
    let port = |key, first: u16| table.integer(key, 1..=65535).unwrap_or(first + step);
    let kind = table.get("kind").and_then(|value| choice(value, &KINDS));
    NodeSpec {
        kind: kind.unwrap_or_default(),
        host,
        listen: read_listen(table),
        postgres_port: port("postgres_port", POSTGRES_PORT),
        peer_port: port("peer_port", PEER_PORT),
        http_port: port("http_port", HTTP_PORT),
        rw_port: port("rw_port", RW_PORT),
        ro_port: port("ro_port", RO_PORT),
        any_port: port("any_port", ANY_PORT),
        store_port: port("store_port", STORE_PORT),
        store_peer_port: port("store_peer_port", STORE_PEER_PORT),
        store_member: table.flag("store_member"),
        data_dir: paths.read(table, "data_dir").unwrap_or_else(|| dir.join("data")),
        state_dir: paths.read(table, "state_dir").unwrap_or_else(|| dir.join("state")),
        tags: read_tags(table),
    }
}

/// A host name or an address. It ends up in connection strings and certificates, so nothing
/// but letters, digits, `.`, `-`, `_` and the colons of IPv6 gets through.
fn read_host(table: &Table<'_>) -> Option<String> {
    let value = table.get("host")?;
    let host = value.text()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_host = !host.is_empty() && host.len() <= 253 && host.chars().all(plain);
    if is_host || host.parse::<IpAddr>().is_ok() {
        return Some(host);
    }
    let hint = "write a host name or an address, without a port";
    value.wrong(format!("`{}` is not a host: `{host}`", value.path), hint);
    None
}

fn read_listen(table: &Table<'_>) -> Vec<IpAddr> {
    let loopback = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let Some(value) = table.get("listen") else { return loopback };
    let addresses = value.list();
    if addresses.is_empty() && value.is_list() {
        value.wrong(format!("`{}` is empty", value.path), "name an address, or drop the line");
    }
    let hint = "write an address such as `\"10.0.0.5\"`, or `\"0.0.0.0\"` for all";
    addresses.iter().filter_map(|address| address.parsed("an address", hint)).collect()
}

fn read_tags(table: &Table<'_>) -> NodeTags {
    let tags = table.names("tags");
    NodeTags {
        no_failover: tags.flag("no_failover").unwrap_or(false),
        failover_priority: tags.integer("failover_priority", 0..=1000).unwrap_or(1),
        no_sync: tags.flag("no_sync").unwrap_or(false),
        no_load_balance: tags.flag("no_load_balance").unwrap_or(false),
        clone_from: tags.flag("clone_from").unwrap_or(false),
        replicate_from: tags
            .get("replicate_from")
            .and_then(|value| value.parsed("a node's name", "write the name of a node")),
        zone: tags.text("zone"),
        free: tags.entries().filter_map(|(name, value)| read_free_tag(name, value)).collect(),
    }
}

fn read_free_tag(name: &str, value: &Value<'_>) -> Option<(String, String)> {
    let own = keys::TAGS.keys.contains(&name);
    if own { None } else { Some((name.to_owned(), value.text()?)) }
}
