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
