//! Variables that need no thought: parameters by another name, and what has no place here.
//! Sources: the documentation of the images `postgres`, `bitnami/postgresql`,
//! `bitnami/postgresql-repmgr`, `edoburu/pgbouncer`, `pgbouncer/pgbouncer`, of Spilo and
//! postgres_exporter.

use crate::finding::Fate;
use crate::pgbouncer;
use crate::table::Meaning::{self, ByHand, Replaced};

/// Bitnami's names of server parameters, below `POSTGRESQL_`.
const PARAMETERS: [(&str, &str); 21] = [
    ("MAX_CONNECTIONS", "max_connections"),
    ("SHARED_PRELOAD_LIBRARIES", "shared_preload_libraries"),
    ("STATEMENT_TIMEOUT", "statement_timeout"),
    ("TCP_KEEPALIVES_IDLE", "tcp_keepalives_idle"),
    ("TCP_KEEPALIVES_INTERVAL", "tcp_keepalives_interval"),
    ("TCP_KEEPALIVES_COUNT", "tcp_keepalives_count"),
    ("CLIENT_MIN_MESSAGES", "client_min_messages"),
    ("DEFAULT_TRANSACTION_ISOLATION", "default_transaction_isolation"),
    ("DEFAULT_TOAST_COMPRESSION", "default_toast_compression"),
    ("PASSWORD_ENCRYPTION", "password_encryption"),
    ("SYNCHRONOUS_COMMIT_MODE", "synchronous_commit"),
    ("FSYNC", "fsync"),
    ("WAL_LEVEL", "wal_level"),
    ("LOG_HOSTNAME", "log_hostname"),
    ("LOG_CONNECTIONS", "log_connections"),
    ("LOG_DISCONNECTIONS", "log_disconnections"),
    ("LOG_LINE_PREFIX", "log_line_prefix"),
    ("LOG_TIMEZONE", "log_timezone"),
    ("PGAUDIT_LOG", "pgaudit.log"),
    ("PGAUDIT_LOG_CATALOG", "pgaudit.log_catalog"),
    ("PGAUDIT_LOG_PARAMETER", "pgaudit.log_parameter"),
];

const POOLER: &str = pgbouncer::POOLER;
const BACKUP: &str = "backups are not built yet: keep what makes them now, and its role";
const METRICS: &str = "metrics are not built yet: keep what collects them, and its role";
const UPSTREAM: &str = "who is primary is decided at run time";
const TLS: &str = "certificates come from the cluster's own authority";
const CLIENT: &str = "clients name the endpoints of all nodes from now on: rw, ro or any";

/// Names, or beginnings of names with a star behind.
const ROWS: [(&str, Meaning); 50] = [
    ("POSTGRES_INITDB_WALDIR", ByHand("WAL lies in the data directory; mount a disk there")),
    ("POSTGRES_HOST_AUTH_METHOD", ByHand("write rules into `hba`")),
    ("PGDATA", ByHand("set `data_dir` in `[nodes.NAME]`")),
    ("POSTGRESQL_REPLICATION_MODE", Replaced(UPSTREAM)),
    ("POSTGRESQL_MASTER_HOST", Replaced(UPSTREAM)),
    ("POSTGRESQL_MASTER_PORT_NUMBER", Replaced(UPSTREAM)),
    ("POSTGRES_MASTER_*", Replaced(UPSTREAM)),
    ("POSTGRES_PRIMARY_*", Replaced(UPSTREAM)),
    ("PRIMARY_HOST", Replaced(UPSTREAM)),
    ("PRIMARY_PORT", Replaced(UPSTREAM)),
    ("POSTGRESQL_CLUSTER_APP_NAME", Replaced("a standby is named by its directory")),
    ("POSTGRESQL_ENABLE_TLS", Replaced("TLS is on from the first start")),
    ("POSTGRESQL_TLS_*", Replaced(TLS)),
    ("POSTGRESQL_ENABLE_LDAP", ByHand("passwords are SCRAM; there is no LDAP")),
    ("POSTGRESQL_LDAP_*", ByHand("passwords are SCRAM; there is no LDAP")),
    ("POSTGRESQL_INITSCRIPTS_*", ByHand("run scripts once, through `howdah psql`")),
    ("POSTGRESQL_EXTRA_FLAGS", ByHand("write parameters into `[postgresql.parameters]`")),
    ("POSTGRESQL_ALLOW_REMOTE_CONNECTIONS", ByHand("write rules into `hba`")),
    ("POSTGRESQL_USERNAME_CONNECTION_LIMIT", ByHand("set `connection_limit` in `[roles.NAME]`")),
    ("POSTGRESQL_VOLUME_DIR", ByHand("set `data_dir` in `[nodes.NAME]`")),
    ("ALLOW_EMPTY_PASSWORD", ByHand("nobody gets in without proof")),
    ("BITNAMI_DEBUG", Replaced("`RUST_LOG` says how much Howdah logs")),
    ("REPMGR_*", Replaced("Howdah makes and follows a primary itself")),
    ("PGPOOL_*", Replaced("every node has endpoints: rw, ro, any")),
    ("SPILO_*", ByHand("import the patroni.yml that it became")),
    ("SCOPE", ByHand("set `cluster`")),
    ("PGUSER_*", ByHand("declare `[roles.NAME]`")),
    ("PGPASSWORD_*", ByHand("declare `[roles.NAME]`")),
    ("PGHOST", ByHand(CLIENT)),
    ("PGPORT", ByHand(CLIENT)),
    ("PGSSLMODE", ByHand("`verify-ca` with `client/ca.crt` below `base_dir`")),
    ("POSTGRES_HOST", ByHand(CLIENT)),
    ("DB_HOST", ByHand(CLIENT)),
    ("DB_PORT", ByHand(CLIENT)),
    ("DATABASE_HOST", ByHand(CLIENT)),
    ("DATABASE_PORT", ByHand(CLIENT)),
    ("DATABASES_*", ByHand(POOLER)),
    ("SERVER_RESET_QUERY", ByHand(POOLER)),
    ("AUTH_TYPE", Replaced("endpoints judge clients by `hba`, with SCRAM")),
    ("BACKUP_*", ByHand(BACKUP)),
    ("RETENTION_DAYS", ByHand(BACKUP)),
    ("S3_*", ByHand(BACKUP)),
    ("AWS_*", ByHand(BACKUP)),
    ("WAL_ARCHIVE_*", ByHand(BACKUP)),
    ("WALG_*", ByHand(BACKUP)),
    ("WALE_*", ByHand(BACKUP)),
    ("PGBACKREST_*", ByHand(BACKUP)),
    ("DATA_SOURCE_*", ByHand(METRICS)),
    ("PG_EXPORTER_*", ByHand(METRICS)),
    ("TZ", ByHand("set `timezone` in `[postgresql.parameters]`")),
];

/// Variables of PgBouncer's images that are keys of its ini.
pub(super) fn is_poolers(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "MAX_CLIENT_CONN",
        "POOL_MODE",
        "DEFAULT_POOL_SIZE",
        "MIN_POOL_SIZE",
        "RESERVE_POOL_SIZE",
        "RESERVE_POOL_TIMEOUT",
        "SERVER_IDLE_TIMEOUT",
        "SERVER_LIFETIME",
    ];
    name.starts_with("PGBOUNCER_") || NAMES.contains(&name)
}

/// The server parameter that a variable stands for.
pub(super) fn parameter(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix("POSTGRESQL_")?;
    PARAMETERS.iter().find(|(known, _)| *known == name).map(|(_, parameter)| *parameter)
}

/// What is said of a variable that has no place in the cluster file.
pub(super) fn fate(name: &str) -> Option<Fate> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    };
    ROWS.iter().find(|(pattern, _)| fits(pattern)).map(|(_, meaning)| meaning.fate())
}
