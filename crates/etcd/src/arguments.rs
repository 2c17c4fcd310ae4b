//! etcd's command line. Flags, because its configuration file cannot say whose certificates are
//! taken; no secret is among them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use crate::options::{MemberOptions, Place, authority};

/// How etcd begins: decides whether it makes a store, joins one, or goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Begin {
    /// Names and peer URLs of the founders, and what tells their store from any other.
    New { members: Vec<(String, String)>, token: String },
    /// Names and peer URLs of all members; this one has been added to them.
    Existing { members: Vec<(String, String)> },
    /// What lies in the directory says everything.
    OnData,
    /// The same, but every other member is forgotten.
    Alone,
}

/// Times of etcd's own elections, milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timings {
    heartbeat_ms: u64,
    election_ms: u64,
}

impl Timings {
    /// `sync` is how long the slowest of a few writes took to reach the disk: a leader that
    /// waits for its disk longer than an election takes would be voted out again and again.
    ///
    /// Bounded by the lease: a lease must survive an election of etcd, with one that fails, and
    /// etcd lets no lease be shorter than one and a half election time-outs.
    pub(crate) fn of(lease: Duration, sync: Duration) -> Timings {
        let bound = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX) * 2 / 5;
        let disk = u64::try_from(sync.as_millis()).unwrap_or(u64::MAX).saturating_mul(SYNCS);
        let usual = disk.clamp(ELECTION_MS, ELECTION_MS_MAX);
        let election_ms = usual.min(bound).max(ELECTION_MS_MIN);
        Timings { heartbeat_ms: election_ms / 10, election_ms }
    }
}

const ELECTION_MS: u64 = 1000;
const ELECTION_MS_MIN: u64 = 300;
const ELECTION_MS_MAX: u64 = 2500;
/// Writes to the disk that fit into one election time-out.
const SYNCS: u64 = 10;

/// The name that every node's certificate proves, and nobody else's of the same CA.
const NODES_ONLY: &str = "localhost";
/// Changes older than this are forgotten.
const COMPACT_EVERY: &str = "5m";
/// Entries after which etcd writes a snapshot: it keeps as many in memory.
const SNAPSHOT_ENTRIES: u32 = 10_000;

/// Everything after the program's name.
pub(crate) fn arguments(
    options: &MemberOptions,
    own: &Place,
    version: (u32, u32),
    begin: &Begin,
    timings: Timings,
) -> Vec<String> {
    let (client, peer) = (listen(&options.listen, own.client_port, true), &own.peer_url());
    let mut flags = vec![
        ("name", options.node.to_string()),
        ("data-dir", text(&options.data_dir.join(DATA))),
        ("listen-client-urls", client),
        ("advertise-client-urls", own.client_url()),
        ("listen-peer-urls", listen(&options.listen, own.peer_port, is_here(&own.host))),
        ("initial-advertise-peer-urls", peer.clone()),
        ("heartbeat-interval", timings.heartbeat_ms.to_string()),
        ("election-timeout", timings.election_ms.to_string()),
        // A member that was cut off comes back without disturbing the leader.
        ("pre-vote", "true".to_owned()),
        ("strict-reconfig-check", "true".to_owned()),
        ("auto-compaction-mode", "periodic".to_owned()),
        ("auto-compaction-retention", COMPACT_EVERY.to_owned()),
        ("quota-backend-bytes", options.quota_bytes.to_string()),
        ("snapshot-count", SNAPSHOT_ENTRIES.to_string()),
        ("enable-grpc-gateway", "false".to_owned()),
        ("logger", "zap".to_owned()),
        ("log-outputs", "stderr".to_owned()),
    ];
    flags.extend(beginning(options, peer, begin));
    flags.extend(security(options, version));
    flags.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

/// Below [`MemberOptions::data_dir`], beside what the keeper remembers of it.
pub(crate) const DATA: &str = "etcd";

fn beginning(options: &MemberOptions, peer: &str, begin: &Begin) -> Vec<(&'static str, String)> {
    let own = [(options.node.to_string(), peer.to_owned())];
    let (members, state, token) = match begin {
        Begin::New { members, token } => (members.as_slice(), "new", token),
        Begin::Existing { members } => (members.as_slice(), "existing", &options.token),
        Begin::OnData | Begin::Alone => (own.as_slice(), "existing", &options.token),
    };
    let members: Vec<_> = members.iter().map(|(name, url)| format!("{name}={url}")).collect();
    let alone = (*begin == Begin::Alone).then(|| ("force-new-cluster", "true".to_owned()));
    let mut flags = vec![
        ("initial-cluster", members.join(",")),
        ("initial-cluster-state", state.to_owned()),
        ("initial-cluster-token", token.clone()),
    ];
    flags.extend(alone);
    flags
}

fn security(options: &MemberOptions, version: (u32, u32)) -> Vec<(&'static str, String)> {
    let files = &options.tls;
    // A machine may have several addresses, and its certificate names one; what a peer must
    // prove is that it is a node.
    let any_address = if version >= (3, 6) {
        "peer-skip-client-san-verification"
    } else {
        "experimental-peer-skip-client-san-verification"
    };
    vec![
        ("cert-file", text(&files.certificate)),
        ("key-file", text(&files.key)),
        ("client-cert-auth", "true".to_owned()),
        ("trusted-ca-file", text(&files.ca)),
        ("client-cert-allowed-hostname", NODES_ONLY.to_owned()),
        ("peer-cert-file", text(&files.certificate)),
        ("peer-key-file", text(&files.key)),
        ("peer-client-cert-auth", "true".to_owned()),
        ("peer-trusted-ca-file", text(&files.ca)),
        ("peer-cert-allowed-hostname", NODES_ONLY.to_owned()),
        (any_address, "true".to_owned()),
    ]
}

fn listen(addresses: &[IpAddr], port: u16, with_loopback: bool) -> String {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut all = addresses.to_vec();
    let everywhere = all.iter().any(IpAddr::is_unspecified);
    if with_loopback && !everywhere && !all.contains(&loopback) {
        all.push(loopback);
    }
    let urls = all.iter().map(|ip| format!("https://{}", authority(&ip.to_string(), port)));
    urls.collect::<Vec<_>>().join(",")
}

/// Whether the others reach this node's member over loopback.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elections_fit_into_the_lease_and_wait_for_a_slow_disk() {
        let of = |lease: u64, sync: u64| {
            Timings::of(Duration::from_millis(lease), Duration::from_millis(sync)).election_ms
        };
        assert_eq!(of(6000, 5), 1000);
        assert_eq!(of(6000, 180), 1800);
        assert_eq!(of(6000, 9000), 2400);
        assert_eq!(of(60_000, 9000), 2500);
        assert_eq!(of(2000, 5), 800);
        assert_eq!(of(300, 5), 300);
    }

    #[test]
    fn it_listens_where_the_file_says_and_for_itself() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(listen(&[ip("10.0.0.1")], 1, true), "https://10.0.0.1:1,https://127.0.0.1:1");
        assert_eq!(listen(&[ip("10.0.0.1")], 1, false), "https://10.0.0.1:1");
        assert_eq!(listen(&[ip("::")], 1, true), "https://[::]:1");
    }
}
