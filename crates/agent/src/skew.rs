//! Nodes whose wall clock is off. No lease depends on it, but certificates, planned switchovers
//! and readers of logs do.
//!
//! A record says when its node wrote it; one that changes between two pictures of the store was
//! written just now.

use std::collections::BTreeMap;

use howdah_base::record::{Member, key};
use howdah_base::{NodeName, Tick};
use howdah_store::Snapshot;

/// What is borne, milliseconds.
const OFF_MAX_MS: i64 = 60_000;
/// A picture older than this says nothing of when a record was written.
const PICTURE_AGE_MAX_MS: u64 = 10_000;

/// How far other nodes' clocks are off, as far as it was seen.
#[derive(Debug, Default)]
pub(crate) struct Skew {
    /// Revision of each node's record in the last picture.
    revisions: BTreeMap<NodeName, u64>,
    taken_at: Option<Tick>,
    /// Ahead of this node's clock, milliseconds.
    off: BTreeMap<NodeName, i64>,
}

impl Skew {
    /// Compares what has changed since the last picture. `now` is the boot-time clock, `unix_ms`
    /// the wall clock.
    pub fn take_in(&mut self, snapshot: &Snapshot, me: &NodeName, now: Tick, unix_ms: u64) {
        let Ok(members) = snapshot.below::<Member>(key::MEMBERS) else { return };
        let fresh =
            self.taken_at.is_some_and(|at| now.since(at).as_millis() < PICTURE_AGE_MAX_MS.into());
        for (member, revision) in members.values().filter(|(member, _)| member.node != *me) {
            let before = self.revisions.insert(member.node.clone(), *revision);
            if fresh && before.is_some_and(|before| before != *revision) {
                let off = member.at_unix_ms.cast_signed() - unix_ms.cast_signed();
                self.off.insert(member.node.clone(), off);
            }
        }
        let is_there = |node: &NodeName| members.values().any(|(member, _)| member.node == *node);
        self.off.retain(|node, _| is_there(node));
        self.revisions.retain(|node, _| is_there(node));
        self.taken_at = Some(now);
    }

    /// One sentence a node.
    pub fn problems(&self) -> Vec<String> {
        let off = self.off.iter().filter(|(_, off)| off.abs() > OFF_MAX_MS);
        off.map(|(node, off)| {
            let way = if *off > 0 { "ahead of" } else { "behind" };
            let seconds = off.abs() / 1000;
            format!("the clock of `{node}` is {seconds} s {way} this node's: one of them is wrong")
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use howdah_store::Entry;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    /// A picture in which `n2` has written its record at `revision`, at this moment of its clock.
    fn picture(revision: u64, at_unix_ms: u64) -> Snapshot {
        let member = serde_json::json!({
            "node": "n2", "host": "h", "postgres_port": 1, "peer_port": 2, "http_port": 3,
            "directory": null, "server": "stopped", "position": null, "history": null,
            "replayed": null, "streaming_from": null, "replay_lag_ms": null, "report": null,
            "ended": null, "rule": 1, "reason": "", "at_unix_ms": at_unix_ms, "version": null,
        });
        let entry = Entry { value: member.to_string(), revision, lease: None };
        Snapshot { revision, entries: [("members/n2".to_owned(), entry)].into() }
    }

    fn problems(pictures: &[(u64, Snapshot)]) -> Vec<String> {
        let (mut skew, me) = (Skew::default(), "n1".parse().expect("a name"));
        for (at, picture) in pictures {
            skew.take_in(picture, &me, Tick(*at), NOW + at);
        }
        skew.problems()
    }

    #[test]
    fn a_record_that_changes_tells_its_nodes_clock() {
        let ahead = problems(&[(0, picture(1, NOW)), (1000, picture(2, NOW + 301_000))]);
        assert_eq!(
            ahead,
            ["the clock of `n2` is 300 s ahead of this node's: one of them is wrong"]
        );
        let behind = problems(&[(0, picture(1, 5)), (1000, picture(2, NOW - 99_000))]);
        assert!(behind[0].contains("100 s behind"), "{behind:?}");
        let right = problems(&[(0, picture(1, 5)), (1000, picture(2, NOW + 30_000))]);
        assert_eq!(right, [""; 0]);
    }

    #[test]
    fn what_may_be_old_tells_nothing() {
        assert_eq!(problems(&[(0, picture(1, 5))]), [""; 0], "the first picture");
        let same = problems(&[(0, picture(1, 5)), (1000, picture(1, 5))]);
        assert_eq!(same, [""; 0], "an unchanged record");
        let late = problems(&[(0, picture(1, 5)), (600_000, picture(2, NOW))]);
        assert_eq!(late, [""; 0], "the store was away for ten minutes");
    }
}
