//! Ports in use are replaced by free ones, once, when a cluster is first made: a second
//! cluster, or a PostgreSQL that was there before, must not stop the first try.
//!
//! A replacement is remembered together with the port that it replaces, so the next `up`
//! repeats it as long as the file still asks for the taken port.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use howdah_base::NodeName;
use howdah_spec::{ClusterSpec, NodeSpec};

use crate::failure::Failure;

/// What a node listens for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Postgres,
    Peer,
    Http,
    Rw,
    Ro,
    Any,
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
pub fn replace_taken(
    spec: &mut ClusterSpec,
    is_free: impl Fn(&[IpAddr], u16) -> bool,
) -> anyhow::Result<Vec<Replacement>> {
    let mut reserved: BTreeSet<u16> = spec.nodes.values().flat_map(ports).collect();
    let mut replaced = Vec::new();
    for (name, node) in &mut spec.nodes {
        for purpose in Purpose::ALL {
            let listen = purpose.listen(node);
            let wanted = *purpose.port(node);
            if is_free(&listen, wanted) {
                continue;
            }
            let got = next_free(wanted, &reserved, |port| is_free(&listen, port))?;
            reserved.insert(got);
            *purpose.port(node) = got;
            replaced.push(Replacement { node: name.clone(), purpose, wanted, got });
        }
    }
    Ok(replaced)
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
    pub const ALL: [Purpose; 6] =
        [Purpose::Postgres, Purpose::Peer, Purpose::Http, Purpose::Rw, Purpose::Ro, Purpose::Any];

    fn port(self, node: &mut NodeSpec) -> &mut u16 {
        match self {
            Purpose::Postgres => &mut node.postgres_port,
            Purpose::Peer => &mut node.peer_port,
            Purpose::Http => &mut node.http_port,
            Purpose::Rw => &mut node.rw_port,
            Purpose::Ro => &mut node.ro_port,
            Purpose::Any => &mut node.any_port,
        }
    }

    /// PostgreSQL always listens on loopback, for the proxy beside it.
    fn listen(self, node: &NodeSpec) -> Vec<IpAddr> {
        let mut listen = node.listen.clone();
        if self == Purpose::Postgres {
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
