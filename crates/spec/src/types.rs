//! The cluster file as typed values. Whatever is here has been checked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use howdah_base::{Bytes, ClusterName, NodeName, Span};

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
    pub nodes: BTreeMap<NodeName, NodeSpec>,
    pub postgresql: PostgresqlSpec,
    pub ha: HaSpec,
    pub store: StoreSpec,
    pub endpoints: EndpointsSpec,
    /// pg_hba lines for users, in order, after Howdah's own.
    pub hba: Vec<crate::hba::HbaRule>,
    pub roles: BTreeMap<String, RoleSpec>,
    pub databases: BTreeMap<String, DatabaseSpec>,
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
    /// PGDATA.
    pub data_dir: PathBuf,
    /// Leases, guard socket, node certificate, logs of Howdah; never inside `data_dir`.
    pub state_dir: PathBuf,
    pub tags: NodeTags,
}

/// What an operator says about a node.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NodeTags {
    pub no_failover: bool,
    /// Higher is preferred among equally advanced standbys.
    pub failover_priority: u32,
    pub no_sync: bool,
    pub no_load_balance: bool,
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
    /// A switchover that has not shut the primary down by then is abandoned.
    pub switchover_timeout: Span,
    /// A server that makes no progress for this long while it starts has failed.
    pub start_timeout: Span,
}

/// Where the lease and the shared record live.
#[derive(Clone, PartialEq, Debug)]
pub enum StoreSpec {
    /// SQLite in one directory, for nodes of one machine.
    Embedded { path: PathBuf },
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
    /// How long a new client waits for a primary before it is refused.
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
