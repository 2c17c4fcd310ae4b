//! What a keeper is told: whose member it keeps, where it lies, and who the others are.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::NodeName;

/// Everything that [`keep`](crate::keep) needs to know.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// The node whose member this is; also the member's name in etcd.
    pub node: NodeName,
    /// Where this node's member is reached; it keeps its ports as long as it runs.
    pub place: Place,
    /// Below it lies etcd's data, beside what the keeper remembers of it and what it has put
    /// aside. It must be there.
    pub data_dir: PathBuf,
    /// Where the keeper answers; see [`ask`](crate::ask).
    pub socket: PathBuf,
    /// What etcd says.
    pub log: PathBuf,
    /// What the keeper says, where its starter sends it: bounded like etcd's.
    pub own_log: PathBuf,
    /// The etcd binary; searched for when `None`.
    pub bin: Option<PathBuf>,
    /// Addresses to listen on. Loopback is added for this node's own questions.
    pub listen: Vec<IpAddr>,
    /// The members by the file that this node was started with; those of the file in force
    /// count as soon as they can be read.
    pub members: BTreeMap<NodeName, Place>,
    /// Tells members of different clusters apart: the cluster's name and its CA.
    pub token: String,
    pub tls: TlsFiles,
    /// The right to make a new store, which this node may have; see
    /// [`Founding`](crate::Founding).
    pub founding: PathBuf,
    /// The key under which the cluster file in force lies in etcd.
    pub config_key: String,
    /// The key under which the holder of the cluster's lease lies: a
    /// [`howdah_base::record::Leader`].
    pub leader_key: String,
    /// Reads the members out of the record under `config_key`.
    pub parse: Parse,
    /// How long a lease of the cluster lasts: etcd's own elections must fit into it.
    pub lease: Duration,
    /// What etcd's file may grow to; then etcd takes no more writes until there is room.
    pub quota_bytes: u64,
}

impl MemberOptions {
    /// For [`MemberOptions::quota_bytes`]: a cluster's record is some 100 KiB, and its changes
    /// between two compactions some 5 MiB.
    pub const QUOTA_BYTES: u64 = 512 << 20;
}

/// Where one member is reached.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    pub host: String,
    pub client_port: u16,
    pub peer_port: u16,
}

impl Place {
    /// Where clients reach it.
    pub fn client_url(&self) -> String {
        format!("https://{}", authority(&self.host, self.client_port))
    }

    /// Where the other members reach it.
    pub fn peer_url(&self) -> String {
        format!("https://{}", authority(&self.host, self.peer_port))
    }
}

/// Host and port as they stand in a URL: IPv6 addresses in brackets.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// PEM files of the cluster's CA. etcd reads certificate and key anew at each connection, so
/// that renewed ones are used from then on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

type Members = BTreeMap<NodeName, Place>;

/// From the record of the cluster file to the members that it names; given by whoever knows how
/// cluster files read.
#[derive(Clone)]
pub struct Parse(Arc<Read>);

type Read = dyn Fn(&str) -> Result<Members, String> + Send + Sync;

impl Parse {
    pub fn new(read: impl Fn(&str) -> Result<Members, String> + Send + Sync + 'static) -> Parse {
        Parse(Arc::new(read))
    }

    pub(crate) fn read(&self, record: &str) -> Result<Members, String> {
        (self.0)(record)
    }
}

impl fmt::Debug for Parse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parse")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_stands_in_brackets() {
        let place = |host: &str| Place { host: host.to_owned(), client_port: 1, peer_port: 2 };
        assert_eq!(place("db1").client_url(), "https://db1:1");
        assert_eq!(place("fd00::1").peer_url(), "https://[fd00::1]:2");
    }
}
