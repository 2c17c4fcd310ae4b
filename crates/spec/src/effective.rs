//! The parameters that one node's server gets, each with where its value comes from.
//!
//! What Howdah owns wins over the file, the file over what follows from the machine, that over
//! the defaults. Left out are the values that change while a node lives, which whoever starts
//! the server adds: primary_conninfo, primary_slot_name, synchronous_standby_names, addresses,
//! ports, sockets and TLS files.

mod defaults;
mod fixed;
mod tuned;

pub mod sizes;

use std::collections::BTreeMap;
use std::fmt;

use howdah_base::NodeName;

use crate::machine::Machine;
use crate::parse::same_machine;
use crate::types::ClusterSpec;

pub use fixed::{LOG_FILE_PREFIX, LOG_FILE_SUFFIX};

/// Server logs older than this are removed by the agent.
pub const LOG_KEEP_DAYS: u32 = 7;

/// A parameter's value, as `postgresql.conf` knows it but not quoted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    pub value: String,
    pub source: Source,
}

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The cluster file.
    File,
    /// The machine's memory and cores, by this formula.
    Tuned(String),
    /// Howdah's default, for this reason.
    Default(&'static str),
    /// The cluster file cannot change it, for this reason.
    Owned(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File => f.write_str("file"),
            Source::Tuned(formula) => write!(f, "tuned: {formula}"),
            Source::Default(reason) => write!(f, "default: {reason}"),
            Source::Owned(reason) => write!(f, "owned: {reason}"),
        }
    }
}

/// Everything for `node`'s `postgresql.conf` on a server of this major version.
pub fn effective(
    spec: &ClusterSpec,
    node: &NodeName,
    machine: &Machine,
    major: u32,
) -> BTreeMap<String, Effective> {
    let mut all = BTreeMap::new();
    for default in defaults::of(major) {
        let source = Source::Default(default.reason);
        all.insert(default.name.to_owned(), Effective { value: default.value.to_owned(), source });
    }
    for (name, tuned) in tuned::of(spec, machine) {
        let source = Source::Tuned(tuned.formula);
        all.insert(name.to_owned(), Effective { value: tuned.value, source });
    }
    for (name, value) in &spec.postgresql.parameters {
        all.insert(name.clone(), Effective { value: value.clone(), source: Source::File });
    }
    all.insert(PRELOAD.to_owned(), preload(spec));
    for (name, value, reason) in fixed::of(spec, node, major) {
        all.insert(name.to_owned(), Effective { value, source: Source::Owned(reason) });
    }
    all
}

/// Only those parameters that follow from the machine, with the formula of each, whether or
/// not the file overrides them: what `howdah tune` shows.
pub(crate) fn tuned_only(spec: &ClusterSpec, machine: &Machine) -> Vec<(String, Effective)> {
    let effective = |(name, tuned): (&str, tuned::Tuned)| {
        let source = Source::Tuned(tuned.formula);
        (name.to_owned(), Effective { value: tuned.value, source })
    };
    tuned::of(spec, machine).into_iter().map(effective).collect()
}

/// How many nodes of the cluster share the machine of `node`, itself included.
pub fn nodes_here(spec: &ClusterSpec, node: &NodeName) -> u32 {
    let Some(this) = spec.nodes.get(node) else { return 1 };
    let here = spec.nodes.values().filter(|other| same_machine(&other.host, &this.host));
    u32::try_from(here.count()).unwrap_or(u32::MAX)
}

const PRELOAD: &str = "shared_preload_libraries";
const PRELOADED: [&str; 2] = ["pg_stat_statements", "auto_explain"];

/// The operator's libraries, then those of Howdah that are not among them: some libraries
/// (Citus, for one) insist on being first.
fn preload(spec: &ClusterSpec) -> Effective {
    let given = spec.postgresql.parameters.get(PRELOAD);
    let given = given.map(String::as_str).unwrap_or_default().split(',').map(str::trim);
    let mut libraries: Vec<&str> = given.filter(|library| !library.is_empty()).collect();
    for ours in PRELOADED {
        if !libraries.contains(&ours) {
            libraries.push(ours);
        }
    }
    let source = if libraries == PRELOADED {
        Source::Default("statements are counted and slow plans logged from the start")
    } else {
        Source::File
    };
    Effective { value: libraries.join(","), source }
}

#[cfg(test)]
mod tests;
