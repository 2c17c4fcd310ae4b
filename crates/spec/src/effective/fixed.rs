//! Values of the parameters that Howdah owns, as far as they do not change while a node lives.
//! [`crate::parameters::owned`] is the list of all that the file may not set.

use howdah_base::NodeName;

use crate::types::ClusterSpec;

/// Server logs are `postgresql-<date>_<time>.log` in `log` below the data directory.
pub const LOG_FILE_PREFIX: &str = "postgresql-";
pub const LOG_FILE_SUFFIX: &str = ".log";

/// Name, value and reason of each.
pub(super) fn of(
    spec: &ClusterSpec,
    node: &NodeName,
    major: u32,
) -> Vec<(&'static str, String, &'static str)> {
    let log_filename = format!("{LOG_FILE_PREFIX}%Y-%m-%d_%H%M%S{LOG_FILE_SUFFIX}");
    let cluster_name = format!("{}/{node}", spec.cluster);
    let mut all = vec![
        ("cluster_name", cluster_name, "it names cluster and node"),
        ("hot_standby", on(), "standbys serve reads"),
        ("fsync", on(), "a crash must not destroy the data directory"),
        ("full_page_writes", on(), "a crash must not destroy the data directory"),
        // Free where checksums are on, as they are after Howdah's initdb.
        ("wal_log_hints", on(), "pg_rewind needs it"),
        ("restart_after_crash", off(), "only the lease gives the right to start again"),
        ("recovery_target_timeline", "latest".to_owned(), "standbys follow a new primary"),
        ("ssl", on(), "TLS is on from the first start"),
        ("logging_collector", on(), "server logs are kept and removed by age"),
        ("log_destination", "stderr".to_owned(), "log reports read it"),
        ("log_directory", "log".to_owned(), "old logs are found there"),
        ("log_filename", log_filename, "old logs are found by it"),
        ("log_truncate_on_rotation", off(), "nothing is overwritten"),
    ];
    if major >= 17 {
        all.push(("allow_alter_system", off(), "the cluster file is the one place"));
    }
    all
}

fn on() -> String {
    "on".to_owned()
}

fn off() -> String {
    "off".to_owned()
}
