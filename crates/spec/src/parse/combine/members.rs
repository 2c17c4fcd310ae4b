//! Roles and databases that refer to each other.

use std::collections::BTreeSet;

use super::super::report::Report;
use crate::types::ClusterSpec;

/// Roles that PostgreSQL brings along and that others may be members of; some are younger
/// than the oldest major version.
const PREDEFINED: [&str; 15] = [
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_execute_server_program",
    "pg_maintain",
    "pg_monitor",
    "pg_read_all_data",
    "pg_read_all_settings",
    "pg_read_all_stats",
    "pg_read_server_files",
    "pg_signal_autovacuum_worker",
    "pg_signal_backend",
    "pg_stat_scan_tables",
    "pg_use_reserved_connections",
    "pg_write_all_data",
    "pg_write_server_files",
];

pub(super) fn check(report: &Report<'_>, spec: &ClusterSpec) {
    for (name, role) in &spec.roles {
        let place = format!("roles.{name}.member_of");
        for group in role.member_of.iter().filter(|group| !is_role(report, group)) {
            unknown_role(report, spec, &place, group);
        }
        if reaches(spec, name, name, &mut BTreeSet::new()) {
            let hint = "a membership goes one way; drop one of them".to_owned();
            report.conflict(&[&place], format!("a role is a member of itself: `{name}`"), hint);
        }
    }
    for (name, database) in &spec.databases {
        let Some(owner) = &database.owner else { continue };
        let place = format!("databases.{name}.owner");
        if PREDEFINED.contains(&&**owner) {
            let hint = "name a role that the file declares".to_owned();
            report.conflict(&[&place], format!("this role cannot own anything: `{owner}`"), hint);
        } else if owner != "postgres" && !is_role(report, owner) {
            unknown_role(report, spec, &place, owner);
        }
    }
}

/// Declared, be it with a mistake, or PostgreSQL's own.
fn is_role(report: &Report<'_>, name: &str) -> bool {
    PREDEFINED.contains(&name) || report.names(&format!("roles.{name}"))
}

fn unknown_role(report: &Report<'_>, spec: &ClusterSpec, place: &str, name: &str) {
    let known = spec.roles.keys().map(String::as_str).chain(PREDEFINED);
    let hint = match crate::mistake::nearest(name, known) {
        Some(known) => format!("did you mean `{known}`?"),
        None if name.starts_with("pg_") => format!("PostgreSQL's are {}", PREDEFINED.join(", ")),
        None => format!("declare it: a table `[roles.{name}]`"),
    };
    report.conflict(&[place], format!("`{place}` names an undeclared role: `{name}`"), hint);
}

/// Whether `from` is a member of `to`, directly or through others.
fn reaches<'a>(
    spec: &'a ClusterSpec,
    from: &'a str,
    to: &str,
    seen: &mut BTreeSet<&'a str>,
) -> bool {
    let Some(role) = spec.roles.get(from) else { return false };
    role.member_of
        .iter()
        .any(|group| group == to || (seen.insert(group) && reaches(spec, group, to, seen)))
}
