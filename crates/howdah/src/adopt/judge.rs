//! Whether a PostgreSQL can be adopted, and what changes. Pure.

use std::path::Path;

use howdah_base::NodeName;
use howdah_spec::{ClusterSpec, NodeKind};

use super::look::{Found, Running};

/// How much a finding weighs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Well,
    /// It will be changed, and is kept for giving back.
    Change,
    /// To be looked at; it does not stand in the way.
    Warning,
    /// It cannot be adopted like this.
    Stop,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Check {
    pub level: Level,
    pub what: String,
    /// What to do, or what will be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
}

pub(super) fn check(level: Level, what: impl Into<String>, then: impl Into<String>) -> Check {
    let then = Some(then.into()).filter(|then| !then.is_empty());
    Check { level, what: what.into(), then }
}

/// Everything that counts, the heaviest last.
pub fn judge(found: &Found, spec: &ClusterSpec, node: &NodeName, major: u32) -> Vec<Check> {
    let mut checks = vec![place(found, spec, node), version(found, major), owner(found, spec)];
    checks.push(history(found));
    checks.extend(first(spec, node));
    checks.push(rewinding(found));
    checks.extend(tablespaces(found, spec, node));
    match &found.running {
        Some(running) => checks.extend(server(running, spec, node)),
        None if found.control.clean_shutdown() => {
            checks.push(check(Level::Well, "the server is down, cleanly", ""));
        }
        None => checks.push(check(
            Level::Warning,
            "the server is down, and was not shut down cleanly",
            "its first start by Howdah will recover it",
        )),
    }
    checks.sort_by_key(|check| check.level);
    checks
}

pub(super) fn place(found: &Found, spec: &ClusterSpec, node: &NodeName) -> Check {
    let own = &spec.nodes[node];
    if found.marked {
        let what = "a node of Howdah has this directory already";
        return check(Level::Stop, what, "howdah status; to undo it: howdah adopt --give-back");
    }
    if own.kind == NodeKind::Witness {
        return check(Level::Stop, format!("`{node}` is a witness"), "name a data node");
    }
    if own.data_dir != found.data_dir {
        let what =
            format!("the cluster file has {node}'s data elsewhere: `{}`", own.data_dir.display());
        let then = format!("write `data_dir = {:?}` in `[nodes.{node}]`", found.data_dir);
        return check(Level::Stop, what, then);
    }
    check(Level::Well, format!("it stays where it is, as node {node}"), "")
}

pub(super) fn version(found: &Found, major: u32) -> Check {
    if found.major == major.to_string() {
        return check(Level::Well, format!("PostgreSQL {major}"), "");
    }
    let what = format!("it is of PostgreSQL {}, and the cluster file means {major}", found.major);
    let then =
        format!("write `major = {}` in `[postgresql]`, with `bin_dir` if needed", found.major);
    check(Level::Stop, what, then)
}

pub(super) fn owner(found: &Found, spec: &ClusterSpec) -> Check {
    if found.owner == spec.run_as {
        return check(Level::Well, format!("it belongs to {}", found.owner), "");
    }
    let what = format!("it belongs to {}, and the cluster runs as {}", found.owner, spec.run_as);
    check(Level::Stop, what, format!("write `run_as = \"{}\"` in the cluster file", found.owner))
}

fn history(found: &Found) -> Check {
    let standby = found.standby || found.running.as_ref().is_some_and(|r| r.in_recovery);
    if standby {
        return check(Level::Stop, "it is a standby", "adopt its primary; standbys join that one");
    }
    check(Level::Well, format!("a primary on timeline {}", found.control.timeline), "")
}

/// An empty node that starts earlier would create a cluster of its own.
fn first(spec: &ClusterSpec, node: &NodeName) -> Option<Check> {
    let alone = spec.nodes.values().filter(|n| n.kind == NodeKind::Data).count() < 2;
    (!alone && spec.first_node.as_ref() != Some(node)).then(|| {
        let what = "another node of the file could create an empty cluster first";
        check(Level::Stop, what, format!("write `first_node = \"{node}\"` at the top of the file"))
    })
}

/// pg_rewind needs one of the two.
pub(super) fn rewinding(found: &Found) -> Check {
    if found.control.checksums {
        return check(Level::Well, "it has data checksums", "");
    }
    let what = "it has no data checksums: damage on its disk goes unnoticed";
    let then = "wal_log_hints is turned on, so that standbys can be rewound; for checksums: \
                pg_checksums --enable while it is down";
    check(Level::Warning, what, then)
}

fn tablespaces(found: &Found, spec: &ClusterSpec, node: &NodeName) -> Option<Check> {
    let first = found.tablespaces.first()?;
    let host = &spec.nodes[node].host;
    let shared = spec.nodes.iter().any(|(other, n)| other != node && n.host == *host);
    let what = format!("a tablespace lies outside of it: `{}`", first.display());
    Some(if shared {
        check(Level::Stop, what, "a standby on the same machine would use the same folder")
    } else {
        check(Level::Warning, what, "its folder must exist, empty, on the standbys' machines")
    })
}

fn server(running: &Running, spec: &ClusterSpec, node: &NodeName) -> Vec<Check> {
    let mut checks = vec![check(
        Level::Change,
        format!("it runs as process {} with {} clients", running.pid, running.clients),
        "it is stopped (fast) and started once: sessions end, for a second or two",
    )];
    let port = spec.nodes[node].postgres_port;
    checks.push(if port == running.port {
        check(Level::Well, format!("it stays on port {port}"), "")
    } else {
        let what = format!("its port changes from {} to {port}", running.port);
        let then = format!("to keep it: `postgres_port = {}` in `[nodes.{node}]`", running.port);
        check(Level::Change, what, then)
    });
    checks.push(match running.wal_level.as_str() {
        "minimal" => {
            check(Level::Change, "wal_level is minimal", "it becomes replica with that start")
        }
        level => check(Level::Well, format!("wal_level is {level}"), ""),
    });
    checks.push(if running.has_postgres {
        check(Level::Well, "the superuser postgres is there", "")
    } else {
        check(Level::Change, "there is no superuser postgres", "it is made, without a password")
    });
    checks.extend(leftovers(running));
    checks.extend(libraries(running, spec));
    checks.push(check(
        Level::Change,
        format!("its rules are in `{}`", running.hba_file.display()),
        "the cluster file's `hba` takes their place; what is not there is refused",
    ));
    checks
}

/// What surrounds it and is not Howdah's.
fn leftovers(running: &Running) -> Vec<Check> {
    let mut checks = Vec::new();
    if !running.standbys.is_empty() {
        let what = format!("others stream from it: {}", running.standbys.join(", "));
        let then = "they need a rule in `hba` to go on, or are made anew as nodes";
        checks.push(check(Level::Warning, what, then));
    }
    if !running.slots.is_empty() {
        let what = format!("it has replication slots: {}", running.slots.join(", "));
        checks.push(check(Level::Well, what, "they are kept, on every node"));
    }
    if running.archive_mode != "off" {
        let what = format!("it archives its WAL: `{}`", running.archive_command);
        let then = "keep `archive_mode` and `archive_command` in `[postgresql.parameters]`";
        checks.push(check(Level::Warning, what, then));
    }
    if running.prepared > 0 {
        let what = format!("{} prepared transactions are open", running.prepared);
        checks.push(check(Level::Well, what, "they survive the restart"));
    }
    checks
}

pub(super) fn libraries(running: &Running, spec: &ClusterSpec) -> Option<Check> {
    let given = spec.postgresql.parameters.get("shared_preload_libraries");
    let given = given.map(String::as_str).unwrap_or_default();
    let ours = ["pg_stat_statements", "auto_explain"];
    let names = |text: &str| -> Vec<String> {
        text.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect()
    };
    let known = names(given);
    let missing: Vec<String> = names(&running.preload)
        .into_iter()
        .filter(|name| !name.is_empty() && !ours.contains(&name.as_str()) && !known.contains(name))
        .collect();
    (!missing.is_empty()).then(|| {
        let what = format!("it preloads what the cluster file does not: {}", missing.join(", "));
        let then = "name them in `shared_preload_libraries` of `[postgresql.parameters]`";
        check(Level::Stop, what, then)
    })
}

/// The node whose data lies there, by the cluster file.
pub fn node_at<'a>(spec: &'a ClusterSpec, data_dir: &Path) -> Option<&'a NodeName> {
    spec.nodes.iter().find(|(_, node)| node.data_dir == data_dir).map(|(name, _)| name)
}
