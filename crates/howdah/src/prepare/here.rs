//! Which nodes of the file live on this machine. Only they get folders, keys and units here.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};

use howdah_base::NodeName;
use howdah_spec::{ClusterSpec, NodeSpec, same_machine};
use howdah_tls::Pair;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use super::Layout;

/// Whether the file needs one machine only.
pub fn is_one_machine(spec: &ClusterSpec) -> bool {
    let mut nodes = spec.nodes.values();
    let first = nodes.next();
    first.is_none_or(|first| nodes.all(|node| same_machine(&node.host, &first.host)))
}

/// The nodes beside `node`, itself among them.
pub fn beside(spec: &ClusterSpec, node: &NodeName) -> BTreeMap<NodeName, NodeSpec> {
    let own = spec.nodes.get(node);
    let is_beside = |other: &NodeSpec| own.is_some_and(|own| same_machine(&own.host, &other.host));
    only(spec, |_, other| is_beside(other))
}

/// The nodes of this machine, as far as it knows itself: those whose key lies here, and those
/// whose host is an address of it.
pub fn here(spec: &ClusterSpec, layout: &Layout) -> BTreeMap<NodeName, NodeSpec> {
    if is_one_machine(spec) {
        return spec.nodes.clone();
    }
    let has_key = |name: &NodeName| Pair::at(&layout.tls(), name.as_str()).key.exists();
    only(spec, |name, node| has_key(name) || is_own(&node.host))
}

fn only(
    spec: &ClusterSpec,
    keep: impl Fn(&NodeName, &NodeSpec) -> bool,
) -> BTreeMap<NodeName, NodeSpec> {
    let nodes = spec.nodes.iter().filter(|(name, node)| keep(name, node));
    nodes.map(|(name, node)| (name.clone(), node.clone())).collect()
}

/// Whether a network interface of this machine has the address, or one of the name's. To take a
/// port of it would prove less: machines with virtual addresses let anybody take any.
fn is_own(host: &str) -> bool {
    let Ok(addresses) = (host, 0).to_socket_addrs() else { return false };
    let Ok(interfaces) = getifaddrs() else { return false };
    let own: Vec<IpAddr> = interfaces.filter_map(|one| address_of(&one.address?)).collect();
    addresses.into_iter().any(|address| address.ip().is_loopback() || own.contains(&address.ip()))
}

fn address_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn spec(text: &str) -> ClusterSpec {
        let text = format!("cluster = \"demo\"\nstore = {{ etcd = {{ managed = true }} }}\n{text}");
        let context =
            howdah_spec::Context { default_base: "/base".into(), relative_to: "/etc".into() };
        howdah_spec::parse("howdah.toml", &text, &context)
            .unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    fn names(nodes: &BTreeMap<NodeName, NodeSpec>) -> Vec<&str> {
        nodes.keys().map(NodeName::as_str).collect()
    }

    #[test]
    fn a_machine_knows_its_nodes_by_their_addresses() {
        let nowhere = Layout::new(Path::new("/no/such/base"));
        let demo = spec("[nodes.n1]\n[nodes.n2]\nhost = \"localhost\"\n");
        assert_eq!(names(&here(&demo, &nowhere)), ["n1", "n2"]);
        // RFC 5737 keeps these addresses out of every network.
        let text = "[nodes.n1]\n[nodes.n2]\nhost = \"198.51.100.2\"\nlisten = [\"198.51.100.2\"]\n\
                    [nodes.n3]\nhost = \"198.51.100.3\"\nlisten = [\"198.51.100.3\"]\n";
        let machines = spec(text);
        assert!(!is_one_machine(&machines));
        assert_eq!(names(&here(&machines, &nowhere)), ["n1"]);
        let n3: NodeName = "n3".parse().expect("a name");
        assert_eq!(names(&beside(&machines, &n3)), ["n3"]);
    }
}
