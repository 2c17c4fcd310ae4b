//! Parameters that exist although `postgres --describe-config` does not print them.

/// Left out of the sample file on purpose, in one of the majors that Howdah runs.
const HIDDEN: [&str; 26] = [
    "allow_in_place_tablespaces",
    "allow_system_table_mods",
    "application_name",
    "backtrace_functions",
    "backtrace_on_internal_error",
    "debug_discard_caches",
    "debug_io_direct",
    "debug_logical_replication_streaming",
    "debug_parallel_query",
    "ignore_checksum_failure",
    "ignore_system_indexes",
    "jit_debugging_support",
    "jit_dump_bitcode",
    "jit_expressions",
    "jit_profiling_support",
    "jit_tuple_deforming",
    "post_auth_delay",
    "pre_auth_delay",
    "remove_temp_files_after_crash",
    "restrict_nonsystem_relation_kind",
    "send_abort_for_crash",
    "send_abort_for_kill",
    "trace_connection_negotiation",
    "trace_notify",
    "trace_sort",
    "wal_consistency_checking",
];

const PG_STAT_STATEMENTS: &[&str] = &[
    "pg_stat_statements.max",
    "pg_stat_statements.save",
    "pg_stat_statements.track",
    "pg_stat_statements.track_planning",
    "pg_stat_statements.track_utility",
];

const AUTO_EXPLAIN: &[&str] = &[
    "auto_explain.log_analyze",
    "auto_explain.log_buffers",
    "auto_explain.log_format",
    "auto_explain.log_level",
    "auto_explain.log_min_duration",
    "auto_explain.log_nested_statements",
    "auto_explain.log_parameter_max_length",
    "auto_explain.log_settings",
    "auto_explain.log_timing",
    "auto_explain.log_triggers",
    "auto_explain.log_verbose",
    "auto_explain.log_wal",
    "auto_explain.sample_rate",
];

/// Whether `name` is a parameter that is not printed.
pub(super) fn is_known(name: &str) -> bool {
    let ours = of_preloaded_library(name).is_some_and(|names| names.contains(&name));
    ours || HIDDEN.contains(&name)
}

/// All parameters of the preloaded library that `name` belongs to by its prefix.
pub(super) fn of_preloaded_library(name: &str) -> Option<&'static [&'static str]> {
    match name.split_once('.')?.0 {
        "pg_stat_statements" => Some(PG_STAT_STATEMENTS),
        "auto_explain" => Some(AUTO_EXPLAIN),
        _ => None,
    }
}
