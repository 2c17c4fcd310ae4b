//! `tags`: most have the same meaning here under another name; others are the operator's own.

use super::Member;
use crate::draft::{Draft, Value};
use crate::finding::Fate;
use crate::tree::Tree;

/// Flags, and what they are called here.
const FLAGS: [(&str, &str); 4] = [
    ("nofailover", "no_failover"),
    ("nosync", "no_sync"),
    ("noloadbalance", "no_load_balance"),
    ("clonefrom", "clone_from"),
];

/// The greatest priority of the cluster file.
const PRIORITY_MAX: i64 = 1000;

pub(super) fn carry(draft: &mut Draft, member: &Member<'_>) {
    let Some(tags) = member.at(&["tags"]) else { return };
    for (name, tag) in tags.entries() {
        one(draft, member, name, &tag);
    }
}

fn one(draft: &mut Draft, member: &Member<'_>, name: &str, tag: &Tree<'_>) {
    let rank = member.rank;
    let key = |tag: &str| member.key(&["tags", tag]);
    if let Some((_, ours)) = FLAGS.iter().find(|(theirs, _)| *theirs == name) {
        return match tag.node.truth() {
            Some(flag) => tag.claim(draft, &key(ours), &Value::Flag(flag), rank),
            None => tag.tell(draft, &Fate::not_carried("not a truth value")),
        };
    }
    match (name, tag.node.number()) {
        // Patroni treats priority 0 as the flag.
        ("failover_priority", Some(0)) => {
            tag.claim(draft, &key("no_failover"), &Value::Flag(true), rank);
        }
        ("failover_priority", Some(number)) => {
            let number = Value::Number(number.clamp(0, PRIORITY_MAX));
            tag.claim(draft, &key("failover_priority"), &number, rank);
        }
        ("sync_priority", Some(0)) => tag.claim(draft, &key("no_sync"), &Value::Flag(true), rank),
        ("sync_priority", _) => {
            tag.tell(draft, &Fate::replaced("whichever voters answer first confirm a commit"));
        }
        ("failover_priority", None) => tag.tell(draft, &Fate::not_carried("not a number")),
        ("nostream", _) if tag.node.truth() == Some(false) => {
            tag.tell(draft, &Fate::replaced("standbys stream"));
        }
        ("nostream", _) => tag.tell(
            draft,
            &Fate::not_carried("standbys stream; feeding them from an archive is not built yet"),
        ),
        ("replicatefrom", _) => match tag.node.text().filter(|node| !node.is_empty()) {
            Some(node) => {
                let node = Value::text(draft.node(node));
                tag.claim(draft, &key("replicate_from"), &node, rank);
            }
            None => {
                tag.tell(draft, &Fate::replaced("by default a standby streams from the primary"))
            }
        },
        _ => match tag.node.text() {
            Some(text) => tag.claim(draft, &key(name), &Value::text(text), rank),
            None => tag.tell(draft, &Fate::not_carried("a tag is a text")),
        },
    }
}
