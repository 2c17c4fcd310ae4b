//! A new machine whose clock is far behind: its certificates and its log lines would mislead.
//!
//! No lease depends on the wall clock. What others wrote may be old, so only a clock that is
//! behind shows here; the agents say so of any node whose clock is off, as long as it lasts.

use howdah_base::NodeName;
use howdah_base::record::{Member, key};
use howdah_store::Snapshot;

use crate::failure::Failure;

/// What leases of certificates and readers of logs bear.
const BEHIND_MAX_MS: u64 = 60_000;

pub fn check(node: &NodeName, snapshot: &Snapshot) -> anyhow::Result<()> {
    let members = snapshot.below::<Member>(key::MEMBERS)?;
    let others = members.values().map(|(member, _)| member).filter(|m| m.node != *node);
    let others: Vec<(&NodeName, u64)> = others.map(|m| (&m.node, m.at_unix_ms)).collect();
    let Some((other, behind)) = behind(howdah_agent::unix_ms(), &others) else { return Ok(()) };
    Err(Failure::failed(format!(
        "this machine's clock is at least {} s behind that of `{other}`",
        behind / 1000
    ))
    .hint("set it, and have it kept right: timedatectl set-ntp true")
    .into())
}

/// When more than half of the others have written in this machine's future: the furthest.
fn behind<'a>(now: u64, others: &[(&'a NodeName, u64)]) -> Option<(&'a NodeName, u64)> {
    let ahead = others.iter().filter(|(_, at)| *at > now + BEHIND_MAX_MS);
    if ahead.clone().count() * 2 <= others.len() {
        return None;
    }
    ahead.max_by_key(|(_, at)| *at).map(|(node, at)| (*node, at - now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_clock_among_several_keeps_nobody_out() {
        let (n1, n2): (NodeName, NodeName) = ("n1".parse().expect("ok"), "n2".parse().expect("ok"));
        let far = 1_000_000 + BEHIND_MAX_MS + 1;
        assert_eq!(behind(1_000_000, &[(&n1, far), (&n2, 1_000_000)]), None);
        assert_eq!(behind(1_000_000, &[(&n1, far), (&n2, far + 5)]), Some((&n2, 60_006)));
        assert_eq!(behind(1_000_000, &[(&n1, far)]), Some((&n1, 60_001)));
        assert_eq!(behind(1_000_000, &[]), None);
    }
}
