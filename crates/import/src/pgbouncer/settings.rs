//! What an ini says, as values.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use howdah_base::Redacted;
use howdah_spec::PoolMode;

/// All of it; what is not said is PgBouncer's default.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: Listen,
    pub pool: Pool,
    pub auth: AuthSettings,
    pub times: Times,
    pub client_tls: TlsFiles,
    pub server_tls: TlsFiles,
    pub tcp: TcpSettings,
    pub log: Log,
    pub files: Files,
    pub console: ConsoleUsers,
    pub startup: StartupSettings,
    /// `[databases]`, without `*`.
    pub databases: BTreeMap<String, DatabaseSettings>,
    /// `*` of `[databases]`.
    pub fallback: Option<DatabaseSettings>,
    /// Keys of `[pgbouncer]` that are followed, as they were said.
    pub said: BTreeMap<&'static str, String>,
    /// `[users]`.
    pub users: BTreeMap<String, Own>,
}

#[derive(Clone, Debug)]
pub struct Listen {
    pub addresses: Vec<ListenAddr>,
    pub port: u16,
    pub backlog: u32,
    pub reuse_port: bool,
    /// Empty: none.
    pub unix_dir: String,
    pub unix_mode: u32,
    pub unix_group: String,
}

/// Where clients come in over TCP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListenAddr {
    /// `*`.
    All,
    Ip(IpAddr),
    Name(String),
}

#[derive(Clone, Debug)]
pub struct Pool {
    pub mode: PoolMode,
    pub size: u32,
    pub min: u32,
    pub reserve: u32,
    pub reserve_wait: Duration,
    pub clients_max: u32,
    pub database_servers_max: Option<u32>,
    pub database_clients_max: Option<u32>,
    pub user_servers_max: Option<u32>,
    pub user_clients_max: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct AuthSettings {
    pub kind: AuthType,
    pub file: Option<String>,
    pub hba_file: Option<String>,
    pub user: Option<String>,
    pub query: String,
    pub database: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthType {
    Any,
    Trust,
    Plain,
    Md5,
    Scram,
    Cert,
    Hba,
}

#[derive(Clone, Debug)]
pub struct Times {
    pub wait: Option<Duration>,
    pub query: Option<Duration>,
    pub transaction: Option<Duration>,
    pub idle_transaction: Option<Duration>,
    pub client_idle: Option<Duration>,
    pub server_idle: Option<Duration>,
    pub server_lifetime: Option<Duration>,
    /// `None`: at once, and then again and again.
    pub retry: Option<Duration>,
    pub connect: Duration,
    pub client_login: Duration,
}

#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub mode: SslMode,
    pub key: Option<String>,
    pub certificate: Option<String>,
    pub ca: Option<String>,
    /// Nothing below TLS 1.3.
    pub only_13: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Debug)]
pub struct TcpSettings {
    pub keepalive: bool,
    /// `None`: the system's.
    pub idle: Option<Duration>,
    pub user_timeout: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub connections: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Files {
    pub pid: Option<String>,
    /// Whom the process becomes.
    pub user: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct ConsoleUsers {
    pub admins: Vec<String>,
    pub watchers: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct StartupSettings {
    pub ignored: Vec<String>,
    pub adds_host: bool,
}

/// One line of `[databases]`.
#[derive(Clone, Default, Debug)]
pub struct DatabaseSettings {
    /// Names, addresses or directories of sockets; empty: the default directory.
    pub hosts: Hosts,
    pub port: Option<u16>,
    pub name: Option<String>,
    pub user: Option<String>,
    pub password: Option<Redacted<String>>,
    pub asking: Asking,
    /// Settings that its clients begin with, where they say nothing else.
    pub begins_with: Vec<(String, String)>,
    pub own: Own,
}

/// In the order in which they are tried.
pub type Hosts = Vec<String>;

/// `auth_user`, `auth_query` and `auth_dbname` of a database's own.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Asking {
    pub user: Option<String>,
    pub query: Option<String>,
    pub database: Option<String>,
}

/// What a database or a role says of its pools.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Own {
    pub mode: Option<PoolMode>,
    pub size: Option<u32>,
    pub min: Option<u32>,
    pub reserve: Option<u32>,
    pub server_lifetime: Option<Duration>,
    pub servers_max: Option<u32>,
    pub clients_max: Option<u32>,
}

impl fmt::Display for AuthType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = ["any", "trust", "plain", "md5", "scram-sha-256", "cert", "hba"];
        f.write_str(words[*self as usize])
    }
}

impl Default for Settings {
    fn default() -> Settings {
        let tls = |mode| TlsFiles { mode, key: None, certificate: None, ca: None, only_13: false };
        let seconds = Duration::from_secs;
        Settings {
            listen: Listen {
                addresses: Vec::new(),
                port: 6432,
                backlog: 128,
                reuse_port: false,
                unix_dir: "/tmp".to_owned(),
                unix_mode: 0o777,
                unix_group: String::new(),
            },
            pool: Pool {
                mode: PoolMode::Session,
                size: 20,
                min: 0,
                reserve: 0,
                reserve_wait: seconds(5),
                clients_max: 100,
                database_servers_max: None,
                database_clients_max: None,
                user_servers_max: None,
                user_clients_max: None,
            },
            auth: AuthSettings {
                kind: AuthType::Md5,
                file: None,
                hba_file: None,
                user: None,
                query: super::options::QUERY.to_owned(),
                database: None,
            },
            times: Times {
                wait: Some(seconds(120)),
                query: None,
                transaction: None,
                idle_transaction: None,
                client_idle: None,
                server_idle: Some(seconds(600)),
                server_lifetime: Some(seconds(3600)),
                retry: None,
                connect: seconds(15),
                client_login: seconds(60),
            },
            client_tls: tls(SslMode::Disable),
            server_tls: tls(SslMode::Prefer),
            tcp: TcpSettings { keepalive: true, idle: None, user_timeout: None },
            log: Log { connections: true },
            files: Files::default(),
            console: ConsoleUsers::default(),
            startup: StartupSettings::default(),
            databases: BTreeMap::new(),
            fallback: None,
            said: BTreeMap::new(),
            users: BTreeMap::new(),
        }
    }
}
