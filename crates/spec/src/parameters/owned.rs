//! Parameters that Howdah sets by itself. A value of the operator's would break high
//! availability, or would be overwritten in silence; so it is refused, with the key to use
//! instead where there is one.

/// A parameter that the cluster file may not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owned {
    pub name: &'static str,
    /// Why it is Howdah's.
    pub reason: &'static str,
    pub hint: &'static str,
}

impl Owned {
    /// `name` may be one of a family that shares this entry.
    pub(super) fn what(&self, name: &str) -> String {
        format!("Howdah owns this parameter ({}): `{name}`", self.reason)
    }
}

/// The entry for `name`, if Howdah owns it.
pub fn owned(name: &str) -> Option<&'static Owned> {
    let target = "recovery_target";
    let name = if name.starts_with(target) { target } else { name };
    OWNED.iter().find(|owned| owned.name == name)
}

const fn own(name: &'static str, reason: &'static str, hint: &'static str) -> Owned {
    Owned { name, reason, hint }
}

const DROP: &str = "drop the line";
const SOCKET: &str = "the socket lies in the node's state directory, for its own sessions";
const PLACE: &str = "its place follows from the node's directories";
const TLS: &str = "certificates come from the cluster's own authority";
const LOGS: &str = "old logs are found and removed by their place and name";
const UPSTREAM: &str = "it follows the primary";
const SWITCHOVER: &str = "to move the primary, run `howdah switchover`";
const RECOVERY: &str = "recovery is part of failover and restore";

const OWNED: [Owned; 45] = [
    // Where the server is found.
    own("listen_addresses", "the node's addresses decide", "set `listen` in `[nodes.NAME]`"),
    own("port", "the node's ports decide", "set `postgres_port` in `[nodes.NAME]`"),
    own("unix_socket_directories", SOCKET, "set `state_dir` in `[nodes.NAME]`"),
    own("unix_socket_permissions", SOCKET, DROP),
    own("unix_socket_group", SOCKET, DROP),
    own("data_directory", PLACE, "set `data_dir` in `[nodes.NAME]`"),
    own("config_file", PLACE, DROP),
    own("hba_file", PLACE, "write pg_hba rules into `hba = [...]`"),
    own("ident_file", PLACE, DROP),
    own("external_pid_file", PLACE, DROP),
    own("include", "the cluster file is the one place", "write parameters here"),
    own("include_dir", "the cluster file is the one place", "write parameters here"),
    own("include_if_exists", "the cluster file is the one place", "write parameters here"),
    // ALTER SYSTEM could empty synchronous_standby_names behind the quorum's back.
    own("allow_alter_system", "the cluster file is the one place", DROP),
    own("cluster_name", "it names cluster and node", "set `cluster`"),
    // Replication: each value is part of the protocol that loses no commit.
    own("synchronous_standby_names", "the quorum sets it", "set `durability` or the tag `no_sync`"),
    own("primary_conninfo", UPSTREAM, DROP),
    own("primary_slot_name", UPSTREAM, DROP),
    // Until version 15; a file would promote behind the lease's back.
    own("promote_trigger_file", "only the lease gives the right to promote", SWITCHOVER),
    own("hot_standby", "standbys serve reads and are asked for their state", DROP),
    own("recovery_min_apply_delay", "a delayed standby cannot take over", DROP),
    own("restore_command", RECOVERY, DROP),
    own("archive_cleanup_command", RECOVERY, DROP),
    own("recovery_end_command", RECOVERY, DROP),
    // Stands for all of recovery_target_*.
    own("recovery_target", RECOVERY, DROP),
    own("wal_log_hints", "pg_rewind needs it", DROP),
    // A server that restarts by itself would come back without the right to write.
    own("restart_after_crash", "only the lease gives the right to start again", DROP),
    own("lc_collate", "it is fixed when the cluster is made", "set `locale` in `[postgresql]`"),
    own("lc_ctype", "it is fixed when the cluster is made", "set `locale` in `[postgresql]`"),
    // TLS.
    own("ssl", "TLS is on from the first start", DROP),
    own("ssl_cert_file", TLS, DROP),
    own("ssl_key_file", TLS, DROP),
    own("ssl_ca_file", TLS, DROP),
    own("ssl_crl_file", TLS, DROP),
    own("ssl_crl_dir", TLS, DROP),
    own("ssl_passphrase_command", TLS, DROP),
    own("ssl_passphrase_command_supports_reload", TLS, DROP),
    // Logs.
    own("logging_collector", LOGS, DROP),
    own("log_destination", LOGS, DROP),
    own("log_directory", LOGS, DROP),
    own("log_filename", LOGS, DROP),
    own("log_truncate_on_rotation", LOGS, DROP),
    // Only for those who debug PostgreSQL itself; each can lose or corrupt data.
    own("zero_damaged_pages", "it destroys data", DROP),
    own("ignore_invalid_pages", "it destroys data", DROP),
    own("data_sync_retry", "a failed fsync must end the server", DROP),
];
