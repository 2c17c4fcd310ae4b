//! PostgreSQL's configuration files, written whole and durably.
//!
//! Howdah owns them: what a person wants otherwise stands in the cluster file. `ALTER SYSTEM`
//! stays possible for everything that Howdah does not set.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::{PgError, directory, durable};

/// The proxy speaks from this loopback address, so that no rule for 127.0.0.1 or for local
/// sockets is ever met by a client from elsewhere.
pub const PROXY_SOURCE: &str = "127.72.68.1";
/// Logs in by certificate: streams, copies, and reads what pg_rewind needs.
pub const REPLICATOR: &str = "howdah_replicator";
const HEADER: &str = "# written by howdah; change the cluster file and run: howdah apply\n";

/// Everything that the files say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerConf {
    pub parameters: BTreeMap<String, String>,
    pub hba: String,
    pub ident: String,
    /// Start in recovery.
    pub standby: bool,
}

/// Writes them into the data directory. A server that runs sees them after a reload.
///
/// For a standby, placeholders of a promotion that did not happen go too: with them it would find
/// no WAL that it may replay ([`directory::clear_reserved`]).
pub fn write(data_dir: &Path, conf: &ServerConf) -> Result<(), PgError> {
    let mut text = HEADER.to_owned();
    for (name, value) in &conf.parameters {
        let _ = writeln!(text, "{name} = {}", quoted(value));
    }
    durable::write(&data_dir.join("pg_hba.conf"), &format!("{HEADER}{}", conf.hba))?;
    durable::write(&data_dir.join("pg_ident.conf"), &format!("{HEADER}{}", conf.ident))?;
    durable::write(&data_dir.join("postgresql.conf"), &text)?;
    strip_auto_conf(data_dir, conf)?;
    durable::remove(&data_dir.join("recovery.signal"))?;
    let signal = data_dir.join("standby.signal");
    if conf.standby {
        directory::clear_reserved(data_dir)?;
        durable::write(&signal, "")
    } else {
        durable::remove(&signal)
    }
}

/// `ALTER SYSTEM` must not override what Howdah sets: its file is read last.
fn strip_auto_conf(data_dir: &Path, conf: &ServerConf) -> Result<(), PgError> {
    let path = data_dir.join("postgresql.auto.conf");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let owned = |line: &&str| {
        let name = line.split('=').next().unwrap_or_default().trim();
        conf.parameters.contains_key(name)
    };
    let kept: Vec<&str> = text.lines().filter(|line| !owned(line)).collect();
    let kept = kept.join("\n") + "\n";
    if kept.trim() == text.trim() { Ok(()) } else { durable::write(&path, &kept) }
}

/// A value as `guc-file.l` reads it.
pub(crate) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// `ANY needed (names)`; empty when nobody is waited for.
pub fn synchronous_standby_names(needed: u32, names: &[String]) -> String {
    if names.is_empty() || needed == 0 {
        return String::new();
    }
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("ANY {needed} ({})", names.join(", "))
}

/// pg_hba.conf: Howdah's own ways in, then the proxy's, then the users' rules. With the gate
/// closed only the first are there. The private socket is the pooler's way in for all but the
/// superuser, who is let in there without a password: who comes for a client must never be.
pub fn hba_text(gate_open: bool, users: &[String]) -> String {
    let mut text = String::from("local all postgres peer map=howdah\n");
    for kind in ["replication", "all"] {
        for address in ["0.0.0.0/0", "::0/0"] {
            let _ = writeln!(text, "hostssl {kind} {REPLICATOR} {address} cert");
        }
    }
    let _ = writeln!(text, "host all {REPLICATOR} all reject");
    if gate_open {
        let _ = writeln!(text, "local all {REPLICATOR} reject");
        let _ = writeln!(text, "local all all scram-sha-256");
        let _ = writeln!(text, "host all all {PROXY_SOURCE}/32 scram-sha-256");
        let _ = writeln!(text, "host replication all {PROXY_SOURCE}/32 scram-sha-256");
        for line in users {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// The system user that everything runs as is the superuser over the private socket.
pub fn ident_text(os_user: &str) -> String {
    format!("howdah {os_user} postgres\n")
}

/// Where a standby streams from, and how it proves itself.
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'a> {
    pub host: &'a str,
    pub port: u16,
    pub ca: &'a Path,
    pub cert: &'a Path,
    pub key: &'a Path,
    pub application: &'a str,
}

/// A connection string for libpq (documentation, "Connection Strings").
pub fn primary_conninfo(upstream: &Upstream<'_>) -> String {
    let pairs = [
        ("host", upstream.host.to_owned()),
        ("port", upstream.port.to_string()),
        ("user", REPLICATOR.to_owned()),
        ("application_name", upstream.application.to_owned()),
        ("sslmode", "verify-full".to_owned()),
        ("sslrootcert", upstream.ca.display().to_string()),
        ("sslcert", upstream.cert.display().to_string()),
        ("sslkey", upstream.key.display().to_string()),
        ("connect_timeout", "5".to_owned()),
        ("keepalives_idle", "5".to_owned()),
        ("keepalives_interval", "2".to_owned()),
        ("keepalives_count", "3".to_owned()),
        ("tcp_user_timeout", "10000".to_owned()),
    ];
    let words = pairs.iter().map(|(name, value)| {
        format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_the_file_is_read() {
        assert_eq!(quoted(r"it's a \ path"), r"'it''s a \\ path'");
    }

    #[test]
    fn nobody_is_waited_for_without_names() {
        assert_eq!(synchronous_standby_names(1, &[]), "");
        let names = ["n2_00000001".to_owned(), "n3_00000002".to_owned()];
        assert_eq!(synchronous_standby_names(1, &names), r#"ANY 1 ("n2_00000001", "n3_00000002")"#);
    }

    #[test]
    fn a_closed_gate_lets_only_howdah_in() {
        let users = ["host all all 10.0.0.0/8 scram-sha-256".to_owned()];
        let closed = hba_text(false, &users);
        assert!(!closed.contains("10.0.0.0") && !closed.contains(PROXY_SOURCE), "{closed}");
        let open = hba_text(true, &users);
        assert!(open.contains("10.0.0.0") && open.contains(PROXY_SOURCE), "{open}");
        assert!(!open.contains("trust"), "{open}");
        let local = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with("local")).map(str::to_owned).collect()
        };
        assert_eq!(local(&closed), ["local all postgres peer map=howdah"]);
        let users = ["local all all peer".to_owned()];
        assert_eq!(
            local(&hba_text(true, &users)),
            [
                "local all postgres peer map=howdah",
                "local all howdah_replicator reject",
                "local all all scram-sha-256",
                "local all all peer",
            ]
        );
    }
}
