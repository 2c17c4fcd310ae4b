//! The configuration that all nodes share: from `bootstrap.dcs`, or as the store has it.

use howdah_base::Bytes;

use super::{parameters, rules};
use crate::draft::{Draft, Key, Rank, Value};
use crate::finding::Fate;
use crate::patroni::{Synchronous, synchronous};
use crate::tree::Tree;

/// Patroni's own default, seconds. Who has more is patient on purpose.
const TTL: i64 = 30;
/// Patroni's own default, seconds.
const START_TIMEOUT: i64 = 300;

pub(super) fn carry(draft: &mut Draft, tree: &Tree<'_>, rank: Rank, local_rules: bool) {
    if let Some(mode) = tree.at(&["synchronous_mode"]) {
        let quorum = synchronous(mode.node) != Synchronous::Off;
        let value = Value::text(if quorum { "quorum" } else { "async" });
        mode.claim(draft, &Key::of(&["durability"]), &value, rank);
    }
    strict(draft, tree, rank);
    if let Some(ttl) = tree.at(&["ttl"])
        && let Some(seconds) = ttl.node.number().filter(|seconds| *seconds > TTL)
    {
        let key = Key::of(&["ha", "lease"]);
        ttl.claim(draft, &key, &Value::text(format!("{seconds}s")), rank);
    }
    if let Some(lag) = tree.at(&["maximum_lag_on_failover"])
        && let Some(bytes) = lag.node.number().and_then(|bytes| u64::try_from(bytes).ok())
    {
        let key = Key::of(&["ha", "max_lag_on_failover"]);
        lag.claim(draft, &key, &Value::text(Bytes(bytes)), rank);
    }
    for name in ["primary_start_timeout", "master_start_timeout"] {
        if let Some(timeout) = tree.at(&[name])
            && let Some(seconds) = timeout.node.number().filter(|s| *s > 0 && *s != START_TIMEOUT)
        {
            let key = Key::of(&["ha", "start_timeout"]);
            let note = "without progress";
            timeout.claim_noted(draft, &key, &Value::text(format!("{seconds}s")), rank, note);
        }
    }
    if let Some(tree) = tree.at(&["postgresql", "parameters"]) {
        parameters(draft, &tree, rank);
    }
    let Some(lines) = tree.at(&["postgresql", "pg_hba"]) else { return };
    match local_rules {
        true => lines.tell(draft, &Fate::not_carried("the nodes' own `pg_hba` counts")),
        false => rules(draft, &lines, rank),
    }
}

/// Without a quorum there is nothing to be strict about.
fn strict(draft: &mut Draft, tree: &Tree<'_>, rank: Rank) {
    let Some(part) = tree.at(&["synchronous_mode_strict"]) else { return };
    let quorum = tree.node.get("synchronous_mode").map(synchronous).unwrap_or_default();
    match part.node.truth() {
        Some(true) if quorum == Synchronous::Off => {
            part.tell(draft, &Fate::replaced("without `synchronous_mode` it says nothing"));
        }
        Some(flag) => part.claim(draft, &Key::of(&["strict"]), &Value::Flag(flag), rank),
        None => part.tell(draft, &Fate::not_carried("not a truth value")),
    }
}
