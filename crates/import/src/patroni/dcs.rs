//! The store behind Patroni: which kind, where, and as whom.

use std::path::PathBuf;

use howdah_base::Redacted;

use super::address::Address;
use crate::yaml::Node;

/// A store that Patroni uses.
#[derive(Clone, PartialEq, Debug)]
pub struct Dcs {
    pub kind: DcsKind,
    /// Members, as far as the file names them; empty with `srv` and with Kubernetes.
    pub hosts: Vec<Address>,
    pub https: bool,
    pub user: Option<String>,
    pub password: Option<Redacted<String>>,
    /// Consul's.
    pub token: Option<Redacted<String>>,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The domain whose SRV records name the members.
    pub srv: Option<String>,
}

/// The sections that Patroni knows, in the order in which it looks for them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DcsKind {
    Consul,
    /// By the protocol of version 2.
    Etcd,
    Etcd3,
    Exhibitor,
    Kubernetes,
    Raft,
    ZooKeeper,
}

impl DcsKind {
    pub const ALL: [DcsKind; 7] = [
        DcsKind::Consul,
        DcsKind::Etcd,
        DcsKind::Etcd3,
        DcsKind::Exhibitor,
        DcsKind::Kubernetes,
        DcsKind::Raft,
        DcsKind::ZooKeeper,
    ];

    /// The name of the section.
    pub fn word(self) -> &'static str {
        match self {
            DcsKind::Consul => "consul",
            DcsKind::Etcd => "etcd",
            DcsKind::Etcd3 => "etcd3",
            DcsKind::Exhibitor => "exhibitor",
            DcsKind::Kubernetes => "kubernetes",
            DcsKind::Raft => "raft",
            DcsKind::ZooKeeper => "zookeeper",
        }
    }

    fn port(self) -> u16 {
        match self {
            DcsKind::Consul => 8500,
            DcsKind::Etcd | DcsKind::Etcd3 => 2379,
            DcsKind::Exhibitor => 8181,
            DcsKind::Kubernetes => 443,
            DcsKind::Raft => 2222,
            DcsKind::ZooKeeper => 2181,
        }
    }
}

/// The first section of a store in `top`.
pub(super) fn read(top: &Node) -> Option<Dcs> {
    let found = |kind: &DcsKind| Some((*kind, top.get(kind.word())?));
    let (kind, section) = DcsKind::ALL.iter().find_map(found)?;
    Some(section_of(kind, section))
}

fn section_of(kind: DcsKind, section: &Node) -> Dcs {
    let text = |key| section.get(key).and_then(Node::text);
    let path = |key| text(key).map(PathBuf::from);
    let url = text("url").or(text("proxy")).map(Url::parse);
    let protocol = text("protocol").or(text("scheme"));
    let https = match &url {
        Some(url) => url.https,
        None => protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("https")),
    };
    let (url_user, url_password) = url.as_ref().map(Url::login).unwrap_or_default();
    let secret = |key| text(key).map(|value| Redacted::new(value.to_owned()));
    Dcs {
        kind,
        hosts: hosts(kind, section, url.as_ref()),
        https,
        user: text("username").map(str::to_owned).or(url_user),
        password: secret("password").or(url_password),
        token: secret("token"),
        ca: path("cacert"),
        cert: path("cert"),
        key: path("key"),
        srv: text("srv").or(text("discovery_srv")).map(str::to_owned),
    }
}

fn hosts(kind: DcsKind, section: &Node, url: Option<&Url<'_>>) -> Vec<Address> {
    let port = section.get("port").and_then(Node::number);
    let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(kind.port());
    if let Some(url) = url {
        return Address::parse(url.host, port).into_iter().collect();
    }
    let keys = ["host", "hosts", "self_addr", "partner_addrs"];
    let texts = keys.iter().filter_map(|key| section.get(key)).flat_map(Node::texts);
    // `hosts` may be one text: "h1:2379,h2:2379", each perhaps in quotes, or with a protocol.
    texts
        .flat_map(|text| text.split(','))
        .map(|host| host.trim().trim_matches(['\'', '"', '[', ']', '-', ' ']))
        .map(|host| host.split_once("://").map_or(host, |(_, rest)| rest))
        .filter_map(|host| Address::parse(host.trim_end_matches('/'), port))
        .collect()
}

/// `http(s)://(user:password@)host(:port)/`.
struct Url<'t> {
    https: bool,
    login: Option<&'t str>,
    host: &'t str,
}

impl Url<'_> {
    fn parse(text: &str) -> Url<'_> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        Url { https: scheme.eq_ignore_ascii_case("https"), login, host }
    }

    fn login(&self) -> (Option<String>, Option<Redacted<String>>) {
        let Some(login) = self.login else { return (None, None) };
        let (user, password) = login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)));
        (Some(user.to_owned()), password.map(|password| Redacted::new(password.to_owned())))
    }
}
