//! The right to write while the store is away (PROTOCOL section 2): enough voters promise the leader,
//! each for a bounded time, to take part in no takeover.
//!
//! Such a promise is the other side of the one that ends a term: whoever has made one refuses the
//! other. It is given only by a node for which the store is away too; a leader that alone has lost
//! the store ends at its deadline, so that those who have it can go on.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_base::record::Sync;
use howdah_base::{NodeName, Term, Tick};

use crate::rules::revoke;
use crate::{Durability, Job, Memory, View};

/// Renewals that must have failed before the others are asked, and before one of them says yes.
const FAILED_RENEWALS: u32 = 2;

/// What a leader asks of another node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plea {
    pub from: NodeName,
    pub term: Term,
}

/// Whether this node promises `plea`'s leader to take part in no takeover for the length of a
/// lease.
///
/// # Errors
/// Why not, as a sentence.
pub fn grant(view: &View, plea: &Plea, now: Tick) -> Result<Duration, String> {
    if view.settings.witness {
        return Err("it is a witness: its promise counts for nothing".to_owned());
    }
    let known = view.leader().filter(|l| l.node == plea.from && l.term == plea.term);
    if known.is_none() || view.store.term != plea.term {
        return Err(format!("the leader of term {} is another one here", view.store.term));
    }
    if !revoke::may_receive(view, plea.term) {
        return Err(format!("it has promised to receive nothing more from term {}", plea.term));
    }
    if matches!(view.job, Some(Job::Txn | Job::Promise)) || view.failures.count(Job::Txn) > 0 {
        return Err("a write of its own has an unknown end".to_owned());
    }
    if !is_away(view, now) {
        return Err("the store answers here".to_owned());
    }
    Ok(view.settings.lease)
}

/// The store has not answered this node's renewals for a while.
pub fn is_away(view: &View, now: Tick) -> bool {
    let since = view.store.renewed_at.map(|at| now.since(at));
    since.is_none_or(|since| since >= view.settings.renew * FAILED_RENEWALS)
}

/// Whom this leader has to ask; `None` when it does not lead, the store answers, or a write of its
/// own has an unknown end: the record may name others by then.
pub fn to_ask(view: &View, memory: &Memory, now: Tick) -> Option<Vec<NodeName>> {
    let sync = of_my_term(view).filter(|_| is_known(view, memory))?;
    let primary = view.running().is_some_and(|running| running.primary);
    if !primary || !is_away(view, now) {
        return None;
    }
    Some(match holders(view, sync) {
        Holders::Nobody => Vec::new(),
        Holders::Voters(nodes, _) | Holders::All(nodes) => nodes,
    })
}

/// Until when the leader may write by what the others have promised; `promised`: until when each
/// one's word holds, counted from before it was asked.
pub fn until(
    view: &View,
    memory: &Memory,
    promised: &BTreeMap<NodeName, Tick>,
    now: Tick,
) -> Option<Tick> {
    let sync = of_my_term(view).filter(|_| is_known(view, memory))?;
    let margin = view.settings.margin;
    let word = |node: &NodeName| promised.get(node).copied();
    match holders(view, sync) {
        Holders::Nobody => Some(now + view.settings.lease - margin),
        Holders::All(nodes) => nodes.iter().map(word).min().flatten().map(|at| at - margin),
        Holders::Voters(nodes, needed) => {
            let mut words: Vec<Tick> = nodes.iter().filter_map(word).collect();
            words.sort_unstable_by(|a, b| b.cmp(a));
            words.get(needed.checked_sub(1)?).map(|at| *at - margin)
        }
    }
}

/// The record stands as this node sees it, whatever is still on its way.
fn is_known(view: &View, memory: &Memory) -> bool {
    memory.settled && view.job != Some(Job::Txn) && view.failures.count(Job::Txn) == 0
}

/// Who could elect another leader.
enum Holders {
    /// The leader stands alone: only an operator could.
    Nobody,
    /// Any election needs at least one of each so many.
    Voters(Vec<NodeName>, usize),
    /// Each node by itself, once the lease is over.
    All(Vec<NodeName>),
}

fn holders(view: &View, sync: &Sync) -> Holders {
    if !sync.voters.is_empty() {
        let of = |id| view.member_of(id).map(|member| member.node.clone());
        return Holders::Voters(sync.voters.iter().filter_map(of).collect(), sync.needed as usize);
    }
    match view.settings.durability {
        Durability::Quorum => Holders::Nobody,
        Durability::Async if view.settings.others.is_empty() => Holders::Nobody,
        Durability::Async => Holders::All(view.settings.others.iter().cloned().collect()),
    }
}

/// The record, as this node wrote it for the term that it leads: nobody else rewrites it.
fn of_my_term(view: &View) -> Option<&Sync> {
    let leader = view.leader().filter(|leader| leader.node == view.me)?;
    view.sync().filter(|sync| sync.term == leader.term && sync.leader == view.me)
}
