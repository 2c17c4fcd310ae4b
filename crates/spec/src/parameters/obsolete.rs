//! Parameters that older guides name and PostgreSQL no longer has, each with its successor.
//! Source: PostgreSQL's release notes, sections "Migration".

/// A parameter that is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Obsolete {
    pub name: &'static str,
    /// The first major version without it; below 10 it is the first half of it (9 for 9.x).
    pub removed_in: u32,
    /// What to do now.
    pub now: &'static str,
}

impl Obsolete {
    pub(super) fn what(&self) -> String {
        let version = if self.removed_in < 10 {
            "long ago".to_owned()
        } else {
            format!("in version {}", self.removed_in)
        };
        format!("PostgreSQL dropped this parameter {version}: `{}`", self.name)
    }

    pub(super) fn hint(&self) -> String {
        self.now.to_owned()
    }
}

/// The entry for `name`, if some version dropped it.
pub fn obsolete(name: &str) -> Option<&'static Obsolete> {
    OBSOLETE.iter().find(|gone| gone.name == name)
}

const fn gone(name: &'static str, removed_in: u32, now: &'static str) -> Obsolete {
    Obsolete { name, removed_in, now }
}

const PROMOTE: &str = "Howdah promotes; to move the primary, run `howdah switchover`";
const FOLLOW: &str = "drop the line; Howdah makes standbys follow the primary";
const FSM: &str = "drop the line; the free space map sizes itself";
const STATS: &str = "drop the line; statistics live in shared memory";
const OLD_SYNTAX: &str = "drop the line and change the statements that need it";

const OBSOLETE: [Obsolete; 46] = [
    gone("checkpoint_segments", 9, "use `max_wal_size`, such as `\"4GB\"`"),
    gone("wal_keep_segments", 13, "use `wal_keep_size`, such as `\"2GB\"`"),
    gone("replication_timeout", 9, "use `wal_sender_timeout`"),
    gone("unix_socket_directory", 9, "drop the line; Howdah places the socket"),
    gone("ssl_renegotiation_limit", 9, "drop the line; TLS no longer renegotiates"),
    gone("custom_variable_classes", 9, "drop the line; dotted names need no class"),
    gone("silent_mode", 9, "drop the line; Howdah runs the server"),
    gone("wal_sender_delay", 9, "drop the line; WAL is sent at once"),
    gone("add_missing_from", 9, OLD_SYNTAX),
    gone("regex_flavor", 9, OLD_SYNTAX),
    gone("explain_pretty_print", 9, "drop the line"),
    gone("krb_srvname", 9, "write `krb_srvname=...` into the pg_hba rule"),
    gone("max_fsm_pages", 9, FSM),
    gone("max_fsm_relations", 9, FSM),
    gone("stats_start_collector", 9, STATS),
    gone("stats_command_string", 9, "use `track_activities`"),
    gone("stats_row_level", 9, "use `track_counts`"),
    gone("stats_block_level", 9, "use `track_counts`"),
    gone("redirect_stderr", 9, "drop the line; Howdah collects the log"),
    gone("sort_mem", 9, "use `work_mem`"),
    gone("vacuum_mem", 9, "use `maintenance_work_mem`"),
    gone("sql_inheritance", 10, OLD_SYNTAX),
    gone("min_parallel_relation_size", 10, "use `min_parallel_table_scan_size`"),
    gone("replacement_sort_tuples", 11, "drop the line; sorting does without it"),
    gone("default_with_oids", 12, "drop the line; tables have no OIDs"),
    gone("standby_mode", 12, FOLLOW),
    gone("trigger_file", 12, PROMOTE),
    gone("pause_at_recovery_target", 9, "drop the line; restore decides where to stop"),
    gone("operator_precedence_warning", 14, OLD_SYNTAX),
    gone("vacuum_cleanup_index_scale_factor", 14, "drop the line; vacuum decides by itself"),
    gone("stats_temp_directory", 15, STATS),
    gone("promote_trigger_file", 16, PROMOTE),
    gone("vacuum_defer_cleanup_age", 16, "drop the line; `hot_standby_feedback` is on"),
    gone("force_parallel_mode", 16, "use `debug_parallel_query`"),
    gone("old_snapshot_threshold", 17, "end old snapshots with `transaction_timeout`"),
    gone("db_user_namespace", 17, "drop the line; name roles apart instead"),
    gone("trace_recovery_messages", 17, "use `log_min_messages`"),
    gone("server_min_messages", 8, "use `log_min_messages`"),
    gone("debug_level", 8, "use `log_min_messages`"),
    gone("log_timestamp", 8, "use `log_line_prefix`"),
    gone("log_pid", 8, "use `log_line_prefix`"),
    gone("log_source_port", 8, "use `log_connections`"),
    gone("virtual_host", 8, "set `listen` in `[nodes.NAME]`"),
    gone("tcpip_socket", 8, "set `listen` in `[nodes.NAME]`"),
    gone("preload_libraries", 8, "use `shared_preload_libraries`"),
    gone("australian_timezones", 8, "use `timezone_abbreviations`"),
];

#[cfg(test)]
mod tests {
    use super::super::{ServerParameters, omitted};
    use super::*;

    const DESCRIBED: &str = include_str!("../../tests/describe-config-15.tsv");

    #[test]
    fn postgresql_15_has_just_what_was_dropped_later() {
        let server = ServerParameters::parse(15, DESCRIBED).expect("described");
        for gone in &OBSOLETE {
            // What later versions still describe, or once left out of the sample file.
            let known = server.get(gone.name).is_some() || omitted::is_known(gone.name);
            let hidden = ["force_parallel_mode", "trace_recovery_messages"].contains(&gone.name);
            assert_eq!(known || hidden, gone.removed_in > 15, "{}", gone.name);
        }
    }

    #[test]
    fn a_successor_is_no_parameter_that_is_gone() {
        for gone in &OBSOLETE {
            let names = gone.now.split('`').skip(1).step_by(2);
            assert!(names.clone().all(|name| obsolete(name).is_none()), "{}", gone.now);
        }
    }
}
