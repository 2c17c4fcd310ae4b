//! Units of numbers and words of enums, from `pg_settings` of the majors that Howdah runs:
//! `--describe-config` prints ranges in a parameter's own unit but not the unit, nor the words.

/// Sizes in bytes, times in microseconds.
pub(super) const SCALES: [(&str, f64); 12] = [
    ("B", 1.0),
    ("kB", 1024.0),
    ("8kB", 8192.0),
    ("MB", 1_048_576.0),
    ("GB", 1_073_741_824.0),
    ("TB", 1_099_511_627_776.0),
    ("us", 1.0),
    ("ms", 1_000.0),
    ("s", 1_000_000.0),
    ("min", 60_000_000.0),
    ("h", 3_600_000_000.0),
    ("d", 86_400_000_000.0),
];

/// Which unit a plain number of each parameter counts.
pub(super) const UNITS: [(&str, &[&str]); 7] = [
    (
        "8kB",
        &[
            "backend_flush_after",
            "bgwriter_flush_after",
            "checkpoint_flush_after",
            "effective_cache_size",
            "min_parallel_index_scan_size",
            "min_parallel_table_scan_size",
            "shared_buffers",
            "temp_buffers",
            "wal_buffers",
            "wal_writer_flush_after",
        ],
    ),
    (
        "kB",
        &[
            "autovacuum_work_mem",
            "gin_pending_list_limit",
            "huge_page_size",
            "log_rotation_size",
            "log_temp_files",
            "logical_decoding_work_mem",
            "maintenance_work_mem",
            "max_stack_depth",
            "temp_file_limit",
            "vacuum_buffer_usage_limit",
            "wal_skip_threshold",
            "work_mem",
        ],
    ),
    (
        "MB",
        &[
            "max_slot_wal_keep_size",
            "max_wal_size",
            "min_dynamic_shared_memory",
            "min_wal_size",
            "wal_keep_size",
        ],
    ),
    (
        "B",
        &[
            "log_parameter_max_length",
            "log_parameter_max_length_on_error",
            "track_activity_query_size",
            "wal_decode_buffer_size",
        ],
    ),
    (
        "ms",
        &[
            "autovacuum_vacuum_cost_delay",
            "bgwriter_delay",
            "client_connection_check_interval",
            "deadlock_timeout",
            "idle_in_transaction_session_timeout",
            "idle_session_timeout",
            "lock_timeout",
            "log_autovacuum_min_duration",
            "log_min_duration_sample",
            "log_min_duration_statement",
            "log_startup_progress_interval",
            "max_standby_archive_delay",
            "max_standby_streaming_delay",
            "statement_timeout",
            "tcp_user_timeout",
            "transaction_timeout",
            "vacuum_cost_delay",
            "wal_receiver_timeout",
            "wal_retrieve_retry_interval",
            "wal_sender_timeout",
            "wal_writer_delay",
        ],
    ),
    (
        "s",
        &[
            "archive_timeout",
            "authentication_timeout",
            "autovacuum_naptime",
            "checkpoint_timeout",
            "checkpoint_warning",
            "tcp_keepalives_idle",
            "tcp_keepalives_interval",
            "wal_receiver_status_interval",
        ],
    ),
    ("min", &["log_rotation_age", "old_snapshot_threshold", "wal_summary_keep_time"]),
];

/// Plain numbers that people are tempted to give a unit.
pub(super) const UNITLESS: [&str; 5] = [
    "autovacuum_max_workers",
    "default_statistics_target",
    "effective_io_concurrency",
    "max_connections",
    "max_wal_senders",
];

const LEVELS: &[&str] = &[
    "debug5", "debug4", "debug3", "debug2", "debug1", "debug", "info", "notice", "warning",
    "error", "log", "fatal", "panic",
];

/// What each enum takes, in any of the majors.
pub(super) const WORDS: [(&str, &[&str]); 16] = [
    ("archive_mode", &["off", "on", "always"]),
    ("client_min_messages", LEVELS),
    ("compute_query_id", &["auto", "on", "off", "regress"]),
    ("default_toast_compression", &["pglz", "lz4"]),
    (
        "default_transaction_isolation",
        &["serializable", "repeatable read", "read committed", "read uncommitted"],
    ),
    ("huge_pages", &["off", "on", "try"]),
    ("log_error_verbosity", &["terse", "default", "verbose"]),
    ("log_min_error_statement", LEVELS),
    ("log_min_messages", LEVELS),
    ("log_statement", &["none", "ddl", "mod", "all"]),
    ("password_encryption", &["scram-sha-256", "md5"]),
    ("plan_cache_mode", &["auto", "force_generic_plan", "force_custom_plan"]),
    ("synchronous_commit", &["on", "off", "local", "remote_write", "remote_apply"]),
    ("track_functions", &["none", "pl", "all"]),
    ("wal_compression", &["off", "on", "pglz", "lz4", "zstd"]),
    ("wal_level", &["minimal", "replica", "logical"]),
];
