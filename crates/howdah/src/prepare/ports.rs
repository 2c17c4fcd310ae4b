//! Default ports in use are replaced by free ones, once, when a cluster is first made: a second
//! cluster, or a PostgreSQL that was there before, must not stop the first try. Ports that the file
//! names are somebody's wish: `up` refuses rather than moves them.
//!
//! A replacement is remembered together with the port that it replaces, so the next `up`
//! repeats it as long as the file still asks for the taken port.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use howdah_base::NodeName;
use howdah_spec::{ClusterSpec, NodeSpec};

use super::listener;
use crate::failure::Failure;
use crate::keeper;

/// What a node listens for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Postgres,
    Peer,
    Http,
    Rw,
    Ro,
    Any,
    /// Of a managed store only.
    Store,
    StorePeer,
}

/// `node` was to listen on `wanted` and gets `got`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replacement {
    pub node: NodeName,
    pub purpose: Purpose,
    pub wanted: u16,
    pub got: u16,
}

/// The nodes' ports lie this far apart, so a replacement looks like its node's others.
const STEP: u16 = 10;

/// Replaces each port that `is_free` refuses, and says which.
///
/// # Errors
/// The file names some of them (`is_written`, by the dotted path of the key).
pub fn replace_taken(
    spec: &mut ClusterSpec,
    is_written: impl Fn(&str) -> bool,
    is_free: impl Fn(&[IpAddr], u16) -> bool,
) -> anyhow::Result<Vec<Replacement>> {
    let mut reserved: BTreeSet<u16> = spec.nodes.values().flat_map(ports).collect();
    let (mut replaced, mut refused) = (Vec::new(), Vec::new());
    let managed = keeper::managed(spec).is_some();
    // It may be another machine's now.
    let vip = spec.vip.as_ref().map(|vip| vip.address);
    for (name, node) in &mut spec.nodes {
        for purpose in Purpose::ALL.into_iter().filter(|purpose| managed || !purpose.is_store()) {
            let mut listen = purpose.listen(node);
            listen.retain(|address| Some(*address) != vip);
            let wanted = *purpose.port(node);
            if is_free(&listen, wanted) {
                continue;
            }
            let key = format!("nodes.{name}.{}_port", purpose.word());
            if is_written(&key) {
                refused.push((key, wanted));
                continue;
            }
            let got = next_free(wanted, &reserved, |port| is_free(&listen, port))?;
            reserved.insert(got);
            *purpose.port(node) = got;
            replaced.push(Replacement { node: name.clone(), purpose, wanted, got });
        }
    }
    if refused.is_empty() { Ok(replaced) } else { Err(written_and_taken(&refused).into()) }
}

fn written_and_taken(refused: &[(String, u16)]) -> Failure {
    let line = |(key, port): &(String, u16)| {
        let by = listener::on(*port).map_or_else(String::new, |who| format!(" by {who}"));
        format!("\n  {key} = {port} is in use{by}")
    };
    let lines: String = refused.iter().map(line).collect();
    Failure::failed(format!("ports that the cluster file names are not free:{lines}")).hint(
        "stop what listens there, or write other ports; one that is left out is found for you",
    )
}

/// Repeats earlier replacements where the file still asks for the port that was taken then.
pub fn repeat(spec: &mut ClusterSpec, replaced: &[Replacement]) {
    for replacement in replaced {
        let Some(node) = spec.nodes.get_mut(&replacement.node) else { continue };
        let port = replacement.purpose.port(node);
        if *port == replacement.wanted {
            *port = replacement.got;
        }
    }
}

fn next_free(
    wanted: u16,
    reserved: &BTreeSet<u16>,
    is_free: impl Fn(u16) -> bool,
) -> anyhow::Result<u16> {
    let near = (1..=100).filter_map(|step| wanted.checked_add(step * STEP));
    let mut candidates = near.filter(|port| !reserved.contains(port));
    candidates.find(|port| is_free(*port)).ok_or_else(|| {
        Failure::failed(format!("no free port near: `{wanted}`"))
            .hint("name free ports in the cluster file")
            .into()
    })
}

fn ports(node: &NodeSpec) -> Vec<u16> {
    let mut node = node.clone();
    Purpose::ALL.map(|purpose| *purpose.port(&mut node)).to_vec()
}

/// Asks the system by listening for a moment.
pub fn is_free_now(listen: &[IpAddr], port: u16) -> bool {
    listen.iter().all(|address| TcpListener::bind(SocketAddr::new(*address, port)).is_ok())
}

impl Purpose {
    pub const ALL: [Purpose; 8] = [
        Purpose::Postgres,
        Purpose::Peer,
        Purpose::Http,
        Purpose::Rw,
        Purpose::Ro,
        Purpose::Any,
        Purpose::Store,
        Purpose::StorePeer,
    ];

    fn is_store(self) -> bool {
        matches!(self, Purpose::Store | Purpose::StorePeer)
    }

    fn port(self, node: &mut NodeSpec) -> &mut u16 {
        match self {
            Purpose::Postgres => &mut node.postgres_port,
            Purpose::Peer => &mut node.peer_port,
            Purpose::Http => &mut node.http_port,
            Purpose::Rw => &mut node.rw_port,
            Purpose::Ro => &mut node.ro_port,
            Purpose::Any => &mut node.any_port,
            Purpose::Store => &mut node.store_port,
            Purpose::StorePeer => &mut node.store_peer_port,
        }
    }

    /// PostgreSQL always listens on loopback, for the proxy beside it, and etcd for its node.
    fn listen(self, node: &NodeSpec) -> Vec<IpAddr> {
        let mut listen = node.listen.clone();
        if matches!(self, Purpose::Postgres | Purpose::Store) {
            listen.retain(|address| !address.is_unspecified());
            listen.push(Ipv4Addr::LOCALHOST.into());
            listen.dedup();
        }
        listen
    }

    fn word(self) -> &'static str {
        match self {
            Purpose::Postgres => "postgres",
            Purpose::Peer => "peer",
            Purpose::Http => "http",
            Purpose::Rw => "rw",
            Purpose::Ro => "ro",
            Purpose::Any => "any",
            Purpose::Store => "store",
            Purpose::StorePeer => "store_peer",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Purpose::Postgres => "PostgreSQL",
            Purpose::Peer => "peer endpoint",
            Purpose::Http => "HTTP",
            Purpose::Rw => "rw endpoint",
            Purpose::Ro => "ro endpoint",
            Purpose::Any => "any endpoint",
            Purpose::Store => "member of the store",
            Purpose::StorePeer => "member of the store, for other members,",
        }
    }
}

impl Replacement {
    /// For the one who ran `up`.
    pub fn sentence(&self) -> String {
        let Replacement { node, purpose, wanted, got } = self;
        format!("port {wanted} is in use; {node}'s {} gets {got}", purpose.sentence())
    }
}

/// One line of the file that remembers: `n1 postgres 5433 5443`.
impl fmt::Display for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Replacement { node, purpose, wanted, got } = self;
        write!(f, "{node} {} {wanted} {got}", purpose.word())
    }
}

impl FromStr for Replacement {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Replacement> {
        let bad = || anyhow::anyhow!("not a line such as `n1 postgres 5433 5443`: `{line}`");
        let [node, word, wanted, got] =
            line.split_whitespace().collect::<Vec<_>>().try_into().map_err(|_| bad())?;
        let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.word() == word);
        Ok(Replacement {
            node: node.parse().map_err(|_| bad())?,
            purpose: purpose.ok_or_else(bad)?,
            wanted: wanted.parse().map_err(|_| bad())?,
            got: got.parse().map_err(|_| bad())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use howdah_spec::{Context, parse};

    use super::*;

    fn spec() -> ClusterSpec {
        let text = "cluster = \"demo\"\n[nodes.n1]\n[nodes.n2]\n[nodes.n3]\n";
        let context = Context { default_base: "/base".into(), relative_to: "/etc".into() };
        parse("howdah.toml", text, &context).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    fn node<'a>(spec: &'a mut ClusterSpec, name: &str) -> &'a mut NodeSpec {
        spec.nodes.get_mut(&name.parse::<NodeName>().expect("a name")).expect("a node")
    }

    #[test]
    fn a_port_in_use_gives_way_to_one_that_no_node_wants() {
        let mut spec = spec();
        let taken = node(&mut spec, "n1").rw_port;
        let others: Vec<u16> = ["n2", "n3"].map(|name| node(&mut spec, name).rw_port).to_vec();
        let replaced =
            replace_taken(&mut spec, |_| false, |_, port| port != taken).expect("free ports");
        assert_eq!(replaced.len(), 1, "{replaced:?}");
        let got = node(&mut spec, "n1").rw_port;
        assert!(got != taken && !others.contains(&got), "{got}");
        let said = format!("port {taken} is in use; n1's rw endpoint gets {got}");
        assert_eq!(replaced[0].sentence(), said);
    }

    #[test]
    fn a_replacement_is_repeated_while_the_file_asks_for_the_taken_port() {
        let mut first = spec();
        let taken = node(&mut first, "n2").http_port;
        let replaced =
            replace_taken(&mut first, |_| false, |_, port| port != taken).expect("free ports");
        let lines: Vec<String> = replaced.iter().map(Replacement::to_string).collect();
        let read: Vec<Replacement> = lines.iter().map(|l| l.parse().expect("a line")).collect();
        assert_eq!(read, replaced);

        let mut again = spec();
        repeat(&mut again, &read);
        assert_eq!(again, first);

        let mut changed = spec();
        node(&mut changed, "n2").http_port = 9999;
        repeat(&mut changed, &read);
        assert_eq!(node(&mut changed, "n2").http_port, 9999);
    }

    #[test]
    fn without_a_free_port_it_says_so() {
        let error = replace_taken(&mut spec(), |_| false, |_, _| false).expect_err("none free");
        let error = error.to_string();
        assert!(error.starts_with("no free port near: `"), "{error}");
    }

    #[test]
    fn a_port_that_the_file_names_is_not_moved() {
        let mut spec = spec();
        let (rw, http) = (node(&mut spec, "n1").rw_port, node(&mut spec, "n2").http_port);
        let before = spec.clone();
        let is_written = |key: &str| key == "nodes.n1.rw_port";
        let error = replace_taken(&mut spec, is_written, |_, port| port != rw && port != http);
        let error = error.expect_err("refused").to_string();
        assert!(error.contains(&format!("\n  nodes.n1.rw_port = {rw} is in use")), "{error}");
        assert_eq!(node(&mut spec, "n1").rw_port, rw);
        let mut spec = before;
        let done = replace_taken(&mut spec, is_written, |_, port| port != http).expect("moved");
        assert_eq!(done.len(), 1);
    }
}
