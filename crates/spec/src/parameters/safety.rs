//! Values that the server would take, and that break the promise of the cluster: no
//! acknowledged commit is lost, and a standby can take over.

use super::{Complain, PARAMETERS};
use crate::types::{ClusterSpec, Durability};

const FOR_SAFETY: &str = "drop the line; the cluster could not keep its promise with it";

pub(super) fn check(spec: &ClusterSpec, complain: &mut Complain<'_>) {
    for (name, value) in &spec.postgresql.parameters {
        let Some((why, hint)) = refuse(spec, name, value.trim()) else { continue };
        let place = format!("{PARAMETERS}.{name}");
        let paths = [place.as_str(), "durability"];
        complain(&paths, format!("{why}: `{name} = {value}`"), hint.to_owned());
    }
}

/// Why `value` cannot be had, and what to do.
fn refuse(spec: &ClusterSpec, name: &str, value: &str) -> Option<(&'static str, &'static str)> {
    let lower = value.to_ascii_lowercase();
    let off = ["off", "false", "no", "0"].contains(&&*lower);
    let quorum = spec.durability == Durability::Quorum;
    match name {
        "fsync" | "full_page_writes" if off => {
            Some(("a crash could destroy the data directory", FOR_SAFETY))
        }
        "synchronous_commit" if quorum && (off || is_weak(&lower)) => Some((
            "commits would be acknowledged before a voter has them",
            "drop the line, set it for one role or session, or write `durability = \"async\"`",
        )),
        "wal_level" if lower == "minimal" => Some(("standbys could not follow", FOR_SAFETY)),
        "password_encryption" if lower == "md5" => Some((
            "rules with scram-sha-256 could not check such passwords",
            "drop the line; `scram-sha-256` is set",
        )),
        "max_wal_senders" | "max_replication_slots" => too_few(spec, name, &lower),
        _ => None,
    }
}

/// What waits for less than a flush on the voters.
fn is_weak(synchronous_commit: &str) -> bool {
    matches!(synchronous_commit, "local" | "remote_write")
}

/// Each other node needs a sender and a slot, and one more of each while it is copied anew.
fn too_few(spec: &ClusterSpec, name: &str, value: &str) -> Option<(&'static str, &'static str)> {
    let needed = spec.nodes.len() * 2;
    let few = value.parse::<usize>().is_ok_and(|number| number < needed);
    let hint = if name == "max_wal_senders" {
        "drop the line (it is 20 then), or allow two senders a node"
    } else {
        "drop the line (it is 20 then), or allow two slots a node"
    };
    few.then_some(("too few for the nodes of this cluster", hint))
}
