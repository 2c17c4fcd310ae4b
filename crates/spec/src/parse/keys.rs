//! The keys of the cluster file, section by section. The parser knows no others, and the
//! reference example must show each of them.

/// One table of the file.
pub(crate) struct Section {
    /// Dotted path; `*` stands for a name that the operator chooses.
    pub path: &'static str,
    pub keys: &'static [&'static str],
}

pub(crate) const TOP: Section = Section {
    path: "",
    keys: &[
        "cluster",
        "durability",
        "strict",
        "run_as",
        "base_dir",
        "first_node",
        "hba",
        "http",
        "hooks",
        "vip",
        "nodes",
        "postgresql",
        "ha",
        "store",
        "endpoints",
        "pools",
        "backup",
        "roles",
        "databases",
    ],
};

pub(crate) const NODE: Section = Section {
    path: "nodes.*",
    keys: &[
        "kind",
        "host",
        "listen",
        "postgres_port",
        "peer_port",
        "http_port",
        "rw_port",
        "ro_port",
        "any_port",
        "store_port",
        "store_peer_port",
        "store_member",
        "data_dir",
        "state_dir",
        "tags",
    ],
};

/// Other keys of this table are the operator's own tags.
pub(crate) const TAGS: Section = Section {
    path: "nodes.*.tags",
    keys: &[
        "no_failover",
        "failover_priority",
        "no_sync",
        "no_load_balance",
        "clone_from",
        "replicate_from",
        "zone",
    ],
};

pub(crate) const POSTGRESQL: Section =
    Section { path: "postgresql", keys: &["major", "bin_dir", "locale", "parameters"] };

pub(crate) const HA: Section = Section {
    path: "ha",
    keys: &[
        "lease",
        "renew",
        "margin",
        "max_lag_on_failover",
        "drain_timeout",
        "switchover_timeout",
        "start_timeout",
        "hung_after",
        "disk_stalled_after",
        "disk_reserve",
        "watchdog",
        "watchdog_device",
    ],
};

pub(crate) const STORE: Section = Section { path: "store", keys: &["kind", "path", "etcd"] };

pub(crate) const ETCD: Section = Section {
    path: "store.etcd",
    keys: &["managed", "endpoints", "prefix", "user", "password", "ca", "cert", "key", "bin"],
};

pub(crate) const HTTP: Section =
    Section { path: "http", keys: &["plain_changes", "user", "password"] };

pub(crate) const HOOK: Section = Section {
    path: "hooks.*",
    keys: &[
        "on",
        "command",
        "webhook",
        "timeout",
        "attempts",
        "nodes",
        "every_node",
        "patroni_arguments",
    ],
};

pub(crate) const VIP: Section = Section { path: "vip", keys: &["address", "interface"] };

pub(crate) const ENDPOINTS: Section = Section {
    path: "endpoints",
    keys: &[
        "ro_max_lag",
        "ro_primary_fallback",
        "clients_max",
        "connect_wait",
        "keepalive",
        "user_timeout",
    ],
};

pub(crate) const POOLS: Section = Section {
    path: "pools",
    keys: &[
        "mode",
        "size",
        "min",
        "reserve",
        "reserve_wait",
        "leaves",
        "unsure_commit",
        "wait",
        "query_timeout",
        "transaction_timeout",
        "idle_transaction_timeout",
        "client_idle_timeout",
        "server_idle_timeout",
        "server_lifetime",
        "server_check",
        "servers_max",
        "database_servers_max",
        "database_clients_max",
        "role_servers_max",
        "role_clients_max",
        "address_clients_max",
        "waiting_max",
        "threads",
        "databases",
        "roles",
        "classes",
    ],
};

/// What a database says of its own; a role may too.
pub(crate) const OWN_POOL: Section = Section {
    path: "pools.databases.*",
    keys: &[
        "mode",
        "size",
        "min",
        "reserve",
        "leaves",
        "server_lifetime",
        "servers_max",
        "clients_max",
    ],
};

pub(crate) const CLASS: Section = Section {
    path: "pools.classes",
    keys: &["name", "guaranteed", "weight", "roles", "databases", "application_names", "endpoints"],
};

pub(crate) const BACKUP: Section = Section {
    path: "backup",
    keys: &["repository", "cipher", "key", "jobs", "standbys", "keep", "drill", "schedule", "s3"],
};

pub(crate) const BACKUP_KEEP: Section = Section {
    path: "backup.keep",
    keys: &["last", "within", "daily", "weekly", "monthly", "yearly", "wal"],
};

pub(crate) const BACKUP_DRILL: Section =
    Section { path: "backup.drill", keys: &["scratch", "within", "preload", "checks"] };

pub(crate) const DRILL_CHECK: Section =
    Section { path: "backup.drill.checks", keys: &["name", "database", "sql", "expect"] };

pub(crate) const BACKUP_SCHEDULE: Section = Section {
    path: "backup.schedule",
    keys: &["backup", "full", "verify", "drill", "expire", "zone", "at_most"],
};

pub(crate) const BACKUP_S3: Section = Section {
    path: "backup.s3",
    keys: &["endpoint", "region", "path_style", "ca", "access_key", "secret_key"],
};

pub(crate) const ROLE: Section = Section {
    path: "roles.*",
    keys: &["kind", "password", "connection_limit", "member_of", "settings"],
};

pub(crate) const SECRET: Section =
    Section { path: "roles.*.password", keys: &["env", "file", "command"] };

pub(crate) const DATABASE: Section =
    Section { path: "databases.*", keys: &["owner", "extensions", "settings"] };

#[cfg(test)]
pub(crate) const SECTIONS: [&Section; 23] = [
    &TOP,
    &NODE,
    &TAGS,
    &POSTGRESQL,
    &HA,
    &STORE,
    &ETCD,
    &ENDPOINTS,
    &POOLS,
    &OWN_POOL,
    &CLASS,
    &BACKUP,
    &BACKUP_KEEP,
    &BACKUP_DRILL,
    &DRILL_CHECK,
    &BACKUP_SCHEDULE,
    &BACKUP_S3,
    &HTTP,
    &HOOK,
    &VIP,
    &ROLE,
    &SECRET,
    &DATABASE,
];

#[cfg(test)]
mod tests {
    use super::SECTIONS;
    use crate::parse::{Context, parse_with_places};

    /// Whether `path` is `pattern`, where `*` stands for one name.
    fn fits(path: &str, pattern: &str) -> bool {
        let (path, pattern) = (path.split('.'), pattern.split('.'));
        path.clone().count() == pattern.clone().count()
            && path.zip(pattern).all(|(part, wanted)| wanted == "*" || wanted == part)
    }

    #[test]
    fn the_reference_example_shows_every_key() {
        let context = Context { default_base: "/var/lib/howdah".into(), relative_to: "/".into() };
        let texts = [
            include_str!("../../../../examples/reference.toml"),
            include_str!("../../../../examples/machines.toml"),
            include_str!("../../../../examples/own-etcd.toml"),
            include_str!("../../../../examples/pools.toml"),
            include_str!("../../../../examples/s3.toml"),
        ];
        let parsed = texts.map(|text| parse_with_places("example", text, &context).expect("valid"));
        for section in SECTIONS {
            for key in section.keys {
                let pattern = format!("{}.{key}", section.path);
                let pattern = pattern.trim_start_matches('.');
                let shown = parsed
                    .iter()
                    .flat_map(|parsed| parsed.places.paths())
                    .any(|path| fits(path, pattern));
                assert!(shown, "no file of examples/ shows `{pattern}`");
            }
        }
    }
}
