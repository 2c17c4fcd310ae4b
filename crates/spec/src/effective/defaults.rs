//! Howdah's own defaults, where PostgreSQL's are not meant for production. The operator's file
//! overrides each of them.

/// A default and why it is not PostgreSQL's.
pub(super) struct Default {
    pub name: &'static str,
    pub value: &'static str,
    pub reason: &'static str,
    /// The first major version that knows the parameter, if not all do.
    since: u32,
}

/// The defaults for a server of this major version.
pub(super) fn of(major: u32) -> impl Iterator<Item = &'static Default> {
    DEFAULTS.iter().filter(move |default| default.since <= major)
}

const fn default(name: &'static str, value: &'static str, reason: &'static str) -> Default {
    Default { name, value, reason, since: 0 }
}

const fn since(since: u32, name: &'static str, value: &'static str, why: &'static str) -> Default {
    Default { name, value, reason: why, since }
}

const SSD: &str = "disks are solid state";
const EQUAL: &str = "the same on all nodes, since a standby may not have less than its primary";
const DETECT: &str = "a dead connection is noticed in seconds";
const VACUUM: &str = "tables stay small when vacuum comes often";
const SLOW: &str = "slow statements are logged";
const WHO: &str = "who came and went is logged";
const NEUTRAL: &str = "does not depend on the machine";

const DEFAULTS: [Default; 54] = [
    // Connections.
    default("max_connections", "200", EQUAL),
    default("superuser_reserved_connections", "5", "Howdah gets in when clients have used up all"),
    default("password_encryption", "scram-sha-256", "passwords are not stored as md5"),
    default("tcp_keepalives_idle", "30s", DETECT),
    default("tcp_keepalives_interval", "5s", DETECT),
    default("tcp_keepalives_count", "3", DETECT),
    default("client_connection_check_interval", "10s", "a statement ends when its client is gone"),
    // Workers: fixed, where the machine might differ from node to node.
    default("max_worker_processes", "16", EQUAL),
    default("max_locks_per_transaction", "64", EQUAL),
    default("max_prepared_transactions", "0", EQUAL),
    // WAL and checkpoints.
    default("wal_level", "logical", "logical slots work without a restart"),
    default("synchronous_commit", "on", "a commit is flushed before it is acknowledged"),
    default("wal_buffers", "16MB", "a segment fits"),
    default("checkpoint_timeout", "15min", "fewer full pages are written"),
    default("checkpoint_completion_target", "0.9", "checkpoints are spread out"),
    default("max_wal_size", "4GB", "checkpoints come by time, not by size"),
    default("min_wal_size", "1GB", "segments are used again"),
    since(17, "summarize_wal", "on", "a node can be copied again by what has changed"),
    // Replication.
    default("max_wal_senders", "20", EQUAL),
    default("max_replication_slots", "20", EQUAL),
    default("max_slot_wal_keep_size", "16GB", "a lost standby cannot fill the primary's disk"),
    default("wal_keep_size", "2GB", "a standby that comes back finds its WAL"),
    default("hot_standby_feedback", "on", "reads on standbys are not cancelled by vacuum"),
    default("wal_sender_timeout", "5s", DETECT),
    default("wal_receiver_timeout", "5s", DETECT),
    default("wal_receiver_status_interval", "1s", "lag is known to the second"),
    default("wal_retrieve_retry_interval", "500ms", "a standby follows a new primary at once"),
    // Planner.
    default("random_page_cost", "1.1", SSD),
    default("effective_io_concurrency", "200", SSD),
    default("default_statistics_target", "100", "enough for most columns"),
    // Autovacuum.
    default("autovacuum_max_workers", "3", EQUAL),
    default("autovacuum_naptime", "30s", VACUUM),
    default("autovacuum_vacuum_scale_factor", "0.1", VACUUM),
    default("autovacuum_analyze_scale_factor", "0.05", VACUUM),
    // Logs.
    default("log_line_prefix", LINE_PREFIX, "log reports read it"),
    default("log_rotation_age", "1d", "a file a day"),
    default("log_rotation_size", "100MB", "no file grows beyond reading"),
    default("log_min_duration_statement", "1s", SLOW),
    default("log_checkpoints", "on", "checkpoints are logged"),
    default("log_connections", "on", WHO),
    default("log_disconnections", "on", WHO),
    default("log_lock_waits", "on", "long waits for a lock are logged"),
    default("log_statement", "ddl", "changes of the schema are logged"),
    default("log_temp_files", "0", "each file that did not fit into work_mem is logged"),
    default("log_autovacuum_min_duration", "10s", "long vacuums are logged"),
    default("log_timezone", "UTC", NEUTRAL),
    default("timezone", "UTC", NEUTRAL),
    default("lc_messages", "C", "log reports read it"),
    // Statistics.
    default("track_io_timing", "on", "slow disks show"),
    default("track_functions", "all", "slow functions show"),
    default("pg_stat_statements.max", "10000", "rare statements are kept too"),
    default("pg_stat_statements.track", "all", "statements inside functions count"),
    default("auto_explain.log_min_duration", "5s", "the plans of very slow statements are logged"),
    default("default_text_search_config", "pg_catalog.english", "as initdb chooses for C.UTF-8"),
];

/// What pgBadger and Howdah's own reports expect.
const LINE_PREFIX: &str = "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ";
