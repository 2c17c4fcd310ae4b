//! The cluster file as typed values. Whatever is here has been checked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use howdah_base::{Bytes, ClusterName, NodeName, Span};
use serde::{Deserialize, Serialize};

use crate::backup::BackupSpec;
use crate::pools::Policy;

/// A whole, valid cluster file, defaults filled in.
#[derive(Clone, PartialEq, Debug)]
pub struct ClusterSpec {
    pub cluster: ClusterName,
    pub durability: Durability,
    /// With `quorum`: block commits rather than let the leader stand alone.
    pub strict: bool,
    /// The system user that servers run as when Howdah is started as root.
    pub run_as: String,
    /// Below it lie the nodes' directories, the embedded store, TLS files and client files.
    pub base_dir: PathBuf,
    /// Only this node may create the cluster; whichever comes first when `None`.
    pub first_node: Option<NodeName>,
    pub nodes: BTreeMap<NodeName, NodeSpec>,
    pub postgresql: PostgresqlSpec,
    pub ha: HaSpec,
    pub store: StoreSpec,
    pub endpoints: EndpointsSpec,
    pub pools: Policy,
    /// pg_hba lines for users, in order, after Howdah's own.
    pub hba: Vec<crate::hba::HbaRule>,
    pub http: HttpSpec,
    /// By name: what is called when something changes.
    pub hooks: BTreeMap<String, HookSpec>,
    /// An address that follows the primary.
    pub vip: Option<VipSpec>,
    /// Where backups and WAL are kept; `None`: nowhere.
    pub backup: Option<BackupSpec>,
    pub roles: BTreeMap<String, RoleSpec>,
    pub databases: BTreeMap<String, DatabaseSpec>,
}

/// Members of a managed store unless the file says otherwise: more make it slower, not safer.
const STORE_MEMBERS_MAX: usize = 5;

impl ClusterSpec {
    /// What `node` listens on at any time: without the virtual IP, which comes and goes.
    pub fn lasting_addresses(&self, node: &NodeSpec) -> Vec<IpAddr> {
        let vip = self.vip.as_ref().map(|vip| vip.address);
        node.listen.iter().copied().filter(|address| Some(*address) != vip).collect()
    }

    /// The nodes that have a member of a managed store, in the order of their names.
    ///
    /// What the file says of a node counts. Of the others witnesses come first, then as many
    /// data nodes as make an odd number of at most five.
    pub fn store_members(&self) -> Vec<&NodeName> {
        let managed = matches!(&self.store, StoreSpec::Etcd(etcd) if etcd.managed);
        let nodes = || self.nodes.iter().filter(|_| managed);
        let mut members: Vec<_> =
            nodes().filter(|(_, n)| n.store_member == Some(true)).map(|(name, _)| name).collect();
        let open = |kind: NodeKind| {
            nodes()
                .filter(move |(_, n)| n.store_member.is_none() && n.kind == kind)
                .map(|(name, _)| name)
        };
        let mut others: Vec<_> = open(NodeKind::Witness).chain(open(NodeKind::Data)).collect();
        others.truncate(STORE_MEMBERS_MAX.saturating_sub(members.len()));
        let all = members.len() + others.len();
        if all > 2 && all % 2 == 0 {
            others.pop();
        }
        members.extend(others);
        members.sort();
        members
    }
}

/// What a synchronous commit waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// `ANY k (voters)`: no acknowledged commit is lost with one node.
    Quorum,
    /// Nothing: the loss of a host may lose what had not been sent.
    Async,
}

/// One machine's worth.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeSpec {
    pub kind: NodeKind,
    /// Where the other nodes and clients reach it.
    pub host: String,
    /// Addresses to listen on; loopback unless the file names others.
    pub listen: Vec<IpAddr>,
    pub postgres_port: u16,
    pub peer_port: u16,
    pub http_port: u16,
    pub rw_port: u16,
    pub ro_port: u16,
    pub any_port: u16,
    /// Ports of this node's etcd member, with a managed store: for clients and for its peers.
    pub store_port: u16,
    pub store_peer_port: u16,
    /// Whether this node has an etcd member, where the file says so; see
    /// [`ClusterSpec::store_members`].
    pub store_member: Option<bool>,
    /// PGDATA.
    pub data_dir: PathBuf,
    /// Leases, guard socket, node certificate, logs of Howdah; never inside `data_dir`.
    pub state_dir: PathBuf,
    pub tags: NodeTags,
}

/// What a node is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NodeKind {
    /// It runs PostgreSQL.
    #[default]
    Data,
    /// It has a member of the store and no PostgreSQL: so that two data nodes survive the loss
    /// of any one machine.
    Witness,
}

/// What an operator says about a node.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NodeTags {
    pub no_failover: bool,
    /// Higher is preferred among equally advanced standbys.
    pub failover_priority: u32,
    pub no_sync: bool,
    pub no_load_balance: bool,
    /// New standbys are copied from this node rather than from the leader.
    pub clone_from: bool,
    /// This standby streams from that node rather than from the leader.
    pub replicate_from: Option<NodeName>,
    pub zone: Option<String>,
    pub free: BTreeMap<String, String>,
}

/// The server's binaries and parameters.
#[derive(Clone, PartialEq, Debug)]
pub struct PostgresqlSpec {
    /// Wanted major version; the newest found when `None`.
    pub major: Option<u32>,
    /// Where `postgres`, `initdb` and so on lie; searched for when `None`.
    pub bin_dir: Option<PathBuf>,
    pub locale: String,
    /// The user's own parameters, as `postgresql.conf` values.
    pub parameters: BTreeMap<String, String>,
}

/// Timings and bounds of high availability.
#[derive(Clone, PartialEq, Debug)]
pub struct HaSpec {
    /// How long the right to write lasts without a renewal.
    pub lease: Span,
    pub renew: Span,
    /// Subtracted from the lease for clock drift: the guard's deadline.
    pub margin: Span,
    /// In `async`: a standby further behind than this is not promoted on its own.
    pub max_lag_on_failover: Bytes,
    /// How long a switchover may drain running transactions before it ends them.
    pub drain_timeout: Span,
    /// A primary that a switchover has not shut down by then is ended by force.
    pub switchover_timeout: Span,
    /// A server that makes no progress for this long while it starts has failed.
    pub start_timeout: Span,
    /// A server that accepts no connection for this long hangs, and is ended.
    pub hung_after: Span,
    /// A disk that has not taken a small write for this long has stalled.
    pub disk_stalled_after: Span,
    /// Room that each node keeps back on its disk for recovery once it is full; zero for none.
    pub disk_reserve: Bytes,
    pub watchdog: WatchdogMode,
    /// Of each node, where one is wanted.
    pub watchdog_device: PathBuf,
}

/// Whether a device resets a machine that is frozen as a whole while its server may write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchdogMode {
    Off,
    /// Where the device works.
    Automatic,
    /// A node whose device does not work never leads.
    Required,
}

/// Where the lease and the shared record live.
#[derive(Clone, PartialEq, Debug)]
pub enum StoreSpec {
    /// SQLite in one directory, for nodes of one machine.
    Embedded { path: PathBuf },
    /// etcd, for nodes of several machines.
    Etcd(EtcdSpec),
}

/// An etcd cluster (v3), and how it is reached.
#[derive(Clone, PartialEq, Debug)]
pub struct EtcdSpec {
    /// The nodes run the members themselves; then `endpoints` and TLS files are Howdah's own.
    pub managed: bool,
    /// Addresses of members of a cluster that others run, such as `https://10.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// All keys of this cluster lie below it; ends in `/`.
    pub prefix: String,
    pub user: Option<String>,
    pub password: Option<SecretRef>,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The etcd binary of a managed member; searched for when `None`.
    pub bin: Option<PathBuf>,
}

/// Who may change something over HTTP, and how.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct HttpSpec {
    /// Requests that change something are taken without TLS from other machines too.
    pub plain_changes: bool,
    /// For Patroni's clients: HTTP basic authentication besides the token.
    pub user: Option<String>,
    pub password: Option<SecretRef>,
}

/// What is called when something changes.
#[derive(Clone, PartialEq, Debug)]
pub struct HookSpec {
    pub on: Vec<HookEvent>,
    pub action: HookAction,
    /// One attempt may take this long; then it is ended with all its children.
    pub timeout: Span,
    pub attempts: u32,
    /// Nodes on which it is called; all when empty.
    pub nodes: Vec<NodeName>,
    /// Events of the whole cluster are told by every node, not by the leader alone.
    pub every_node: bool,
    /// Also pass Patroni's three arguments: action, role, cluster.
    pub patroni_arguments: bool,
}

/// How a hook is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HookAction {
    /// Program and arguments; no shell.
    Command(Vec<String>),
    /// An address that takes JSON by POST.
    Webhook(String),
}

/// What a hook may be called for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HookEvent {
    Start,
    Stop,
    Restart,
    Reload,
    RoleChange,
    LeaderChange,
    Pause,
    Resume,
    NodeLost,
    NodeBack,
    Problem,
}

impl HookEvent {
    /// The words of the cluster file.
    pub const WORDS: [(&str, HookEvent); 11] = [
        ("on_start", HookEvent::Start),
        ("on_stop", HookEvent::Stop),
        ("on_restart", HookEvent::Restart),
        ("on_reload", HookEvent::Reload),
        ("on_role_change", HookEvent::RoleChange),
        ("on_leader_change", HookEvent::LeaderChange),
        ("on_pause", HookEvent::Pause),
        ("on_resume", HookEvent::Resume),
        ("on_node_lost", HookEvent::NodeLost),
        ("on_node_back", HookEvent::NodeBack),
        ("on_problem", HookEvent::Problem),
    ];

    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, event)| *event == self).map_or("", |(word, _)| word)
    }
}

/// An address that the primary's machine holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VipSpec {
    pub address: IpAddr,
    /// Length of the network's prefix, bits.
    pub prefix: u8,
    pub interface: String,
}

/// For how long a client keeps a server of its pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolMode {
    /// There are no pools: each client has a server of its own, from its login on.
    Off,
    /// As long as it is connected.
    Session,
    /// For a transaction.
    Transaction,
    /// For a statement: transactions of several are refused.
    Statement,
}

impl PoolMode {
    /// As the cluster file has them.
    pub const WORDS: [(&str, PoolMode); 4] = [
        ("off", PoolMode::Off),
        ("session", PoolMode::Session),
        ("transaction", PoolMode::Transaction),
        ("statement", PoolMode::Statement),
    ];

    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, mode)| *mode == self).map_or("", |(word, _)| word)
    }
}

/// Where clients connect, for every node.
#[derive(Clone, PartialEq, Debug)]
pub struct EndpointsSpec {
    /// Reads go only to standbys that are less than this behind.
    pub ro_max_lag: Bytes,
    /// `ro` falls back to the primary when no standby qualifies.
    pub ro_primary_fallback: bool,
    /// Clients per node, over all endpoints.
    pub clients_max: u32,
    /// How long a new client waits for a primary before it is refused, and a pooled one for a
    /// server.
    pub connect_wait: Span,
    pub keepalive: Span,
    /// TCP_USER_TIMEOUT.
    pub user_timeout: Span,
}

/// A role that Howdah keeps as the file says.
#[derive(Clone, PartialEq, Debug)]
pub struct RoleSpec {
    pub kind: RoleKind,
    pub password: Option<SecretRef>,
    /// -1: no limit.
    pub connection_limit: i32,
    pub member_of: Vec<String>,
    /// `ALTER ROLE ... SET`.
    pub settings: BTreeMap<String, String>,
}

/// The seeds' kinds of roles and what each may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoleKind {
    /// Logs in; owns its databases' objects.
    App,
    /// `pg_read_all_data`.
    Readonly,
    /// CREATEDB, CREATEROLE, `pg_monitor`, `pg_signal_backend`, `pg_read_all_data`,
    /// `pg_write_all_data`; not superuser.
    Admin,
    /// `pg_monitor`.
    Monitor,
    /// REPLICATION, `pg_read_all_data`, `pg_checkpoint` where there is one.
    Backup,
    /// Cannot log in; for membership.
    Group,
}

/// Where a secret is found; its value is never in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretRef {
    Env(String),
    File(PathBuf),
    /// Program and arguments; its standard output, without the last newline.
    Command(Vec<String>),
}

/// A database that Howdah keeps as the file says.
#[derive(Clone, PartialEq, Debug)]
pub struct DatabaseSpec {
    pub owner: Option<String>,
    pub extensions: Vec<String>,
    /// `ALTER DATABASE ... SET`.
    pub settings: BTreeMap<String, String>,
}
