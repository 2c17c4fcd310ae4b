//! The configuration of a copy: all of it is here. Nothing of the cluster's own is read, so nothing in
//! it reaches out: no port, no archive, no upstream, no subscription, no library. Pure.

use std::fmt::Write;
use std::path::Path;

/// Of the port there is only the socket's name.
pub const PORT: u16 = 5432;
/// A path of a Unix socket may have so many bytes (`sun_path` of sockaddr_un, with its end).
pub const SOCKET_BYTES_MAX: usize = 107;

/// What differs from copy to copy.
#[derive(Clone, Debug)]
pub struct Copy<'a> {
    pub data_dir: &'a Path,
    pub socket_dir: &'a Path,
    pub hba: &'a Path,
    pub ident: &'a Path,
    /// What its files say of the primary, by `pg_controldata`: `max_prepared_transactions` and its like.
    pub sizes: &'a [(String, u64)],
    pub preload: &'a [String],
}

/// `postgresql.conf`.
pub fn text(copy: &Copy<'_>) -> String {
    let mut text = String::new();
    let mut set = |name: &str, value: &str| {
        let value = value.replace('\\', "\\\\").replace('\'', "''");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} = '{value}'");
    };
    let path = |path: &Path| path.display().to_string();
    set("data_directory", &path(copy.data_dir));
    set("hba_file", &path(copy.hba));
    set("ident_file", &path(copy.ident));
    set("listen_addresses", "");
    set("unix_socket_directories", &path(copy.socket_dir));
    set("unix_socket_permissions", "0700");
    set("port", &PORT.to_string());
    set("ssl", "off");
    set("archive_mode", "off");
    set("max_wal_senders", "0");
    set("max_logical_replication_workers", "0");
    set("synchronous_standby_names", "");
    set("shared_preload_libraries", &copy.preload.join(","));
    set("autovacuum", "off");
    // Nobody asks before it has recovered; so it need not be as large as the primary.
    set("hot_standby", "off");
    set("max_connections", "40");
    set("shared_buffers", "128MB");
    set("huge_pages", "off");
    // It lies on the disk of whoever it is restored beside.
    set("max_wal_size", "256MB");
    set("min_wal_size", "80MB");
    set("jit", "off");
    set("restart_after_crash", "off");
    set("log_destination", "stderr");
    set("logging_collector", "off");
    set("lc_messages", "C");
    // Prepared transactions of the primary, and their locks, are there again after recovery.
    for (name, value) in copy.sizes {
        if matches!(name.as_str(), "max_prepared_transactions" | "max_locks_per_transaction") {
            set(name, &value.to_string());
        }
    }
    text
}

/// `pg_hba.conf`: only the user that all of this runs as.
pub const HBA: &str = "local all postgres peer map=drill\n";

/// `pg_ident.conf`.
pub fn ident(user: &str) -> String {
    format!("drill \"{}\" postgres\n", user.replace('"', ""))
}

/// Of what a restore wrote into `postgresql.auto.conf`: its recovery. The rest is the primary's.
pub fn recovery_only(auto: &str) -> String {
    let ours = |line: &&str| {
        ["restore_command", "recovery_target", "archive_mode"]
            .iter()
            .any(|name| line.starts_with(name))
    };
    auto.lines().filter(ours).map(|line| format!("{line}\n")).collect()
}

/// What the primary loads at its start, by the text of its configuration; the last line counts.
pub fn preloaded(texts: &[String]) -> String {
    let value = |line: &str| {
        let rest = line.trim().strip_prefix("shared_preload_libraries")?.trim_start();
        let rest = rest.strip_prefix('=').unwrap_or(rest).trim();
        let rest = rest.split('#').next().unwrap_or(rest).trim();
        Some(rest.trim_matches('\'').to_owned())
    };
    texts.iter().flat_map(|text| text.lines()).filter_map(value).next_back().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_reaches_nobody() {
        let sizes = [("max_connections", 500), ("max_prepared_transactions", 7)];
        let sizes = sizes.map(|(name, value)| (name.to_owned(), value));
        let text = text(&Copy {
            data_dir: Path::new("/s/it's/data"),
            socket_dir: Path::new("/s/run"),
            hba: Path::new("/s/hba"),
            ident: Path::new("/s/ident"),
            sizes: &sizes,
            preload: &["timescaledb".to_owned()],
        });
        for line in [
            "data_directory = '/s/it''s/data'",
            "listen_addresses = ''",
            "archive_mode = 'off'",
            "max_logical_replication_workers = '0'",
            "synchronous_standby_names = ''",
            "shared_preload_libraries = 'timescaledb'",
            "max_connections = '40'",
            "max_prepared_transactions = '7'",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert!(!text.contains("500"), "{text}");
    }

    #[test]
    fn of_the_primarys_settings_only_the_recovery_stays() {
        let auto = "# kept\nwork_mem = '8MB'\nshared_preload_libraries = 'pg_cron'\n\
            archive_mode = 'off'\nrestore_command = 'get %f %p'\n\
            recovery_target_timeline = '3'\nrecovery_target_action = 'promote'\n";
        let golden = "archive_mode = 'off'\nrestore_command = 'get %f %p'\n\
            recovery_target_timeline = '3'\nrecovery_target_action = 'promote'\n";
        assert_eq!(recovery_only(auto), golden);
    }

    #[test]
    fn what_was_loaded_is_known() {
        let texts = ["#shared_preload_libraries = ''\nshared_preload_libraries = 'a, b' # x\n", ""];
        assert_eq!(preloaded(&texts.map(str::to_owned)), "a, b");
        let texts = ["shared_preload_libraries='a'", "shared_preload_libraries = ''\n"];
        assert_eq!(preloaded(&texts.map(str::to_owned)), "");
        assert_eq!(preloaded(&[]), "");
    }
}
