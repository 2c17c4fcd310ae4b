//! Every key of `[pgbouncer]`, PgBouncer 1.18 to 1.25: its default, when a change of it counts, and
//! what becomes of it. One line a key.
//!
//! Source: PgBouncer's manual, pgbouncer.ini(5).

use super::settings::{AuthType, ListenAddr, Settings, SslMode};
use super::values::{limit, list, mode, number, seconds, time, word, yes};

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    pub name: &'static str,
    /// PgBouncer's; a value that is the same says nothing.
    pub default: &'static str,
    /// It counts from the next reload on, not only from the next start.
    pub reloads: bool,
    pub takes: Takes,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    Sets(fn(&mut Settings, &str) -> Result<(), String>),
    /// It is not followed: why, and what to do.
    Not(&'static str),
}

use Takes::{Not, Sets};

const fn now(name: &'static str, default: &'static str, takes: Takes) -> Opt {
    Opt { name, default, reloads: true, takes }
}

const fn start(name: &'static str, default: &'static str, takes: Takes) -> Opt {
    Opt { name, default, reloads: false, takes }
}

/// The key of that name.
pub fn find(name: &str) -> Option<&'static Opt> {
    OPTIONS.iter().copied().flatten().find(|option| option.name == name)
}

/// All keys, by what they are about.
pub const OPTIONS: [&[Opt]; 8] =
    [&LISTENING, &POOLS, &LOGINS, &TIMES, &TLS, &LOGGING, &SESSIONS, &SOCKETS];

const LISTENING: [Opt; 11] = [
    start(
        "listen_addr",
        "",
        Sets(|s, v| {
            s.listen.addresses = list(v).iter().map(|text| address(text)).collect();
            Ok(())
        }),
    ),
    start("listen_port", "6432", Sets(|s, v| number(v).map(|port| s.listen.port = port))),
    start(
        "unix_socket_dir",
        "/tmp",
        Sets(|s, v| {
            v.clone_into(&mut s.listen.unix_dir);
            match v.starts_with('@') {
                true => Err("abstract sockets are not listened on".to_owned()),
                false => Ok(()),
            }
        }),
    ),
    start(
        "unix_socket_mode",
        "0777",
        Sets(|s, v| {
            s.listen.unix_mode = u32::from_str_radix(v, 8).map_err(|_| "not an octal number")?;
            Ok(())
        }),
    ),
    start(
        "unix_socket_group",
        "",
        Sets(|s, v| {
            v.clone_into(&mut s.listen.unix_group);
            Ok(())
        }),
    ),
    start("listen_backlog", "128", Sets(|s, v| number(v).map(|count| s.listen.backlog = count))),
    start("so_reuseport", "0", Sets(|s, v| yes(v).map(|on| s.listen.reuse_port = on))),
    start(
        "user",
        "",
        Sets(|s, v| {
            s.files.user = some(v);
            Ok(())
        }),
    ),
    start(
        "pidfile",
        "",
        Sets(|s, v| {
            s.files.pid = some(v);
            Ok(())
        }),
    ),
    start("peer_id", "0", Not(PEERS)),
    start("service_name", "", Not("one service runs in one process; name it where it is started")),
];

const POOLS: [Opt; 14] = [
    now("pool_mode", "session", Sets(|s, v| mode(v).map(|mode| s.pool.mode = mode))),
    now("max_client_conn", "100", Sets(|s, v| number(v).map(|n| s.pool.clients_max = n))),
    now("default_pool_size", "20", Sets(|s, v| number(v).map(|n| s.pool.size = n))),
    now("min_pool_size", "0", Sets(|s, v| number(v).map(|n| s.pool.min = n))),
    now("reserve_pool_size", "0", Sets(|s, v| number(v).map(|n| s.pool.reserve = n))),
    now("reserve_pool_timeout", "5", Sets(|s, v| seconds(v).map(|t| s.pool.reserve_wait = t))),
    now("max_db_connections", "0", Sets(|s, v| limit(v).map(|n| s.pool.database_servers_max = n))),
    now(
        "max_db_client_connections",
        "0",
        Sets(|s, v| limit(v).map(|n| s.pool.database_clients_max = n)),
    ),
    now("max_user_connections", "0", Sets(|s, v| limit(v).map(|n| s.pool.user_servers_max = n))),
    now(
        "max_user_client_connections",
        "0",
        Sets(|s, v| limit(v).map(|n| s.pool.user_clients_max = n)),
    ),
    now("server_round_robin", "0", Not("the server used last is taken first; leave it out")),
    now(
        "max_prepared_statements",
        "200",
        Not(
            "prepared statements work in every mode, and each server keeps up to 500; leave it out",
        ),
    ),
    now(
        "autodb_idle_timeout",
        "3600",
        Not("a pool that nobody uses is gone at once; leave it out"),
    ),
    now("job_name", "pgbouncer", Not("it is used nowhere; leave it out")),
];

const LOGINS: [Opt; 12] = [
    now(
        "auth_type",
        "md5",
        Sets(|s, v| {
            s.auth.kind = match v {
                "pam" | "ldap" => {
                    return Err("not spoken here: use scram-sha-256 or cert".to_owned());
                }
                _ => word(v, &AUTH_TYPES)?,
            };
            Ok(())
        }),
    ),
    now(
        "auth_file",
        "",
        Sets(|s, v| {
            s.auth.file = some(v);
            Ok(())
        }),
    ),
    now(
        "auth_hba_file",
        "",
        Sets(|s, v| {
            s.auth.hba_file = some(v);
            Ok(())
        }),
    ),
    now("auth_ident_file", "", Not("names are not mapped; give roles the names of their users")),
    now(
        "auth_user",
        "",
        Sets(|s, v| {
            s.auth.user = some(v);
            Ok(())
        }),
    ),
    now(
        "auth_query",
        QUERY,
        Sets(|s, v| {
            v.clone_into(&mut s.auth.query);
            Ok(())
        }),
    ),
    now(
        "auth_dbname",
        "",
        Sets(|s, v| {
            s.auth.database = some(v);
            Ok(())
        }),
    ),
    now("auth_ldap_parameter", "", Not("there is no LDAP; use scram-sha-256 or cert")),
    now("auth_ldap_options", "", Not("there is no LDAP; use scram-sha-256 or cert")),
    now("scram_iterations", "4096", Not("verifiers say themselves how often; leave it out")),
    now(
        "admin_users",
        "",
        Sets(|s, v| {
            s.console.admins = list(v);
            Ok(())
        }),
    ),
    now(
        "stats_users",
        "",
        Sets(|s, v| {
            s.console.watchers = list(v);
            Ok(())
        }),
    ),
];

const TIMES: [Opt; 19] = [
    now("query_wait_timeout", "120", Sets(|s, v| time(v).map(|t| s.times.wait = t))),
    now("query_timeout", "0", Sets(|s, v| time(v).map(|t| s.times.query = t))),
    now("transaction_timeout", "0", Sets(|s, v| time(v).map(|t| s.times.transaction = t))),
    now(
        "idle_transaction_timeout",
        "0",
        Sets(|s, v| time(v).map(|t| s.times.idle_transaction = t)),
    ),
    now("client_idle_timeout", "0", Sets(|s, v| time(v).map(|t| s.times.client_idle = t))),
    now(
        "client_login_timeout",
        "60",
        Sets(|s, v| time(v).map(|t| s.times.client_login = t.unwrap_or(LONG))),
    ),
    now("server_idle_timeout", "600", Sets(|s, v| time(v).map(|t| s.times.server_idle = t))),
    now("server_lifetime", "3600", Sets(|s, v| time(v).map(|t| s.times.server_lifetime = t))),
    now(
        "server_connect_timeout",
        "15",
        Sets(|s, v| time(v).map(|t| s.times.connect = t.unwrap_or(LONG))),
    ),
    now("server_login_retry", "15", Sets(|s, v| seconds(v).map(|t| s.times.retry = Some(t)))),
    now("cancel_wait_timeout", "10", Not("a cancel request goes out at once; leave it out")),
    now("suspend_timeout", "10", Not("there is no SUSPEND; leave it out")),
    now("query_wait_notify", "5", Not("clients that wait are told nothing; leave it out")),
    now(
        "server_check_delay",
        "30",
        Not("a server that was idle for 30 s is asked an empty query first; leave it out"),
    ),
    now(
        "server_check_query",
        "select 1",
        Not("a server that was idle for 30 s is asked an empty query first; leave it out"),
    ),
    now("server_fast_close", "0", Not("RECONNECT in the console; leave it out")),
    now("dns_max_ttl", "15", Not(DNS)),
    now("dns_nxdomain_ttl", "15", Not(DNS)),
    now("dns_zone_check_period", "0", Not(DNS)),
];

const TLS: [Opt; 18] = [
    now(
        "client_tls_sslmode",
        "disable",
        Sets(|s, v| word(v, &SSL_MODES).map(|mode| s.client_tls.mode = mode)),
    ),
    now(
        "client_tls_key_file",
        "",
        Sets(|s, v| {
            s.client_tls.key = some(v);
            Ok(())
        }),
    ),
    now(
        "client_tls_cert_file",
        "",
        Sets(|s, v| {
            s.client_tls.certificate = some(v);
            Ok(())
        }),
    ),
    now(
        "client_tls_ca_file",
        "",
        Sets(|s, v| {
            s.client_tls.ca = some(v);
            Ok(())
        }),
    ),
    now(
        "client_tls_protocols",
        "secure",
        Sets(|s, v| only_13(v).map(|only| s.client_tls.only_13 = only)),
    ),
    now("client_tls_ciphers", "default", Not(CIPHERS)),
    now("client_tls13_ciphers", "", Not(CIPHERS)),
    now("client_tls_ecdhcurve", "auto", Not(CIPHERS)),
    now("client_tls_dheparams", "auto", Not(CIPHERS)),
    now(
        "server_tls_sslmode",
        "prefer",
        Sets(|s, v| word(v, &SSL_MODES).map(|mode| s.server_tls.mode = mode)),
    ),
    now(
        "server_tls_ca_file",
        "",
        Sets(|s, v| {
            s.server_tls.ca = some(v);
            Ok(())
        }),
    ),
    now(
        "server_tls_key_file",
        "",
        Sets(|s, v| {
            s.server_tls.key = some(v);
            Ok(())
        }),
    ),
    now(
        "server_tls_cert_file",
        "",
        Sets(|s, v| {
            s.server_tls.certificate = some(v);
            Ok(())
        }),
    ),
    now(
        "server_tls_protocols",
        "secure",
        Sets(|s, v| only_13(v).map(|only| s.server_tls.only_13 = only)),
    ),
    now("server_tls_ciphers", "default", Not(CIPHERS)),
    now("server_tls13_ciphers", "", Not(CIPHERS)),
    now("server_tls_ecdhcurve", "auto", Not(CIPHERS)),
    now("resolv_conf", "", Not(DNS)),
];

const LOGGING: [Opt; 11] = [
    start("logfile", "", Not(SYSLOG)),
    now("log_connections", "1", Sets(|s, v| yes(v).map(|on| s.log.connections = on))),
    now("log_disconnections", "1", Not("with `RUST_LOG=debug` each end is logged, without none")),
    now("log_pooler_errors", "1", Not("who is not let in is always logged; leave it out")),
    start("verbose", "0", Not("`RUST_LOG=debug` in the environment logs more")),
    now("log_stats", "1", Not("SHOW STATS and /metrics tell more; leave it out")),
    now("stats_period", "60", Not("SHOW STATS and /metrics tell more; leave it out")),
    start("syslog", "0", Not(SYSLOG)),
    start("syslog_ident", "pgbouncer", Not(SYSLOG)),
    start("syslog_facility", "daemon", Not(SYSLOG)),
    start("conffile", "", Not("the file is named on the command line; leave it out")),
];

const SESSIONS: [Opt; 7] = [
    now(
        "ignore_startup_parameters",
        "",
        Sets(|s, v| {
            s.startup.ignored = list(v);
            Ok(())
        }),
    ),
    now("application_name_add_host", "0", Sets(|s, v| yes(v).map(|on| s.startup.adds_host = on))),
    now("server_reset_query", "DISCARD ALL", Not("DISCARD ALL it is, in every mode; leave it out")),
    now(
        "server_reset_query_always",
        "0",
        Not("what a client leaves is found and thrown away in every mode; leave it out"),
    ),
    now(
        "track_extra_parameters",
        "IntervalStyle",
        Not("every setting of a client goes along with it; leave it out"),
    ),
    now("disable_pqexec", "0", Not("queries of several statements are passed on; leave it out")),
    // No key of PgBouncer's, and yet people write it.
    now("idle_timeout", "600", Sets(|s, v| time(v).map(|t| s.times.server_idle = t))),
];

const SOCKETS: [Opt; 10] = [
    now("tcp_keepalive", "1", Sets(|s, v| yes(v).map(|on| s.tcp.keepalive = on))),
    now("tcp_keepidle", "0", Sets(|s, v| time(v).map(|t| s.tcp.idle = t))),
    now("tcp_keepintvl", "0", Not("a quarter of `tcp_keepidle`; set that one")),
    now("tcp_keepcnt", "0", Not("four probes are sent; set `tcp_keepidle`")),
    now(
        "tcp_user_timeout",
        "0",
        Sets(|s, v| {
            let millis: u64 = number(v)?;
            s.tcp.user_timeout =
                Some(std::time::Duration::from_millis(millis)).filter(|t| !t.is_zero());
            Ok(())
        }),
    ),
    start("tcp_defer_accept", "1", Not("a client that says nothing costs little; leave it out")),
    start("tcp_socket_buffer", "0", Not("the system chooses its buffers; leave it out")),
    start("pkt_buf", "4096", Not(BUFFERS)),
    start("max_packet_size", "2147483647", Not(BUFFERS)),
    start("sbuf_loopcnt", "5", Not(BUFFERS)),
];

/// Of whoever is let in by a server's own word: its name, its password unless that has expired.
pub(super) const QUERY: &str = "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL \
     ELSE rolpassword END FROM pg_catalog.pg_authid WHERE rolname=$1 AND rolcanlogin";
/// Longer than anybody waits.
const LONG: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

const PEERS: &str = "one process serves all cores (`--threads N`), and a cancel request finds its \
                     client in it; run one";
const DNS: &str = "a name is looked up at each connection to a server, as the system is configured; \
                   leave it out";
const CIPHERS: &str =
    "what rustls speaks is safe: TLS 1.2 and 1.3, with forward secrecy; leave it out";
const SYSLOG: &str = "the log goes to standard error; let the service manager pass it on";
const BUFFERS: &str = "buffers are there only while data moves, and messages of any length pass; \
                       leave it out";

const AUTH_TYPES: [(&str, AuthType); 7] = [
    ("any", AuthType::Any),
    ("trust", AuthType::Trust),
    ("plain", AuthType::Plain),
    ("md5", AuthType::Md5),
    ("scram-sha-256", AuthType::Scram),
    ("cert", AuthType::Cert),
    ("hba", AuthType::Hba),
];

const SSL_MODES: [(&str, SslMode); 6] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn address(text: &str) -> ListenAddr {
    match (text, text.parse()) {
        ("*", _) => ListenAddr::All,
        (_, Ok(ip)) => ListenAddr::Ip(ip),
        _ => ListenAddr::Name(text.to_owned()),
    }
}

/// Whether nothing but TLS 1.3 is allowed; what is older than 1.2 is never spoken.
fn only_13(text: &str) -> Result<bool, String> {
    let names = list(text);
    let known = |name: &String| {
        ["all", "secure", "legacy", "default", "tlsv1", "tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"]
            .contains(&name.to_ascii_lowercase().as_str())
    };
    if !names.iter().all(known) {
        return Err("not a list of tlsv1.2 and tlsv1.3".to_owned());
    }
    Ok(!names.is_empty() && names.iter().all(|name| name.eq_ignore_ascii_case("tlsv1.3")))
}
