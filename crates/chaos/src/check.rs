//! The judge: what clients were told against what the cluster holds. Pure; a verdict names each
//! write that a promise was broken for.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Final, History, Micros, Op, Outcome, What};

/// What came out of a run. The lists of faults of the cluster are empty when all held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    pub acknowledged: usize,
    pub failed: usize,
    pub indeterminate: usize,
    /// How many of the indeterminate writes are there.
    pub indeterminate_present: usize,
    /// Acknowledged writes that are not there.
    pub lost: Vec<String>,
    /// Writes that are there although their client was told that they failed, or that nobody sent.
    pub ghosts: Vec<String>,
    /// Items that stand before one that was acknowledged before they were sent, or twice.
    pub reordered: Vec<String>,
    /// Rows that a reader saw committed and that are not there.
    pub vanished: Vec<String>,
    /// Accounts, or sums of them, that are not what the transfers make of them.
    pub odd_sums: Vec<String>,
    /// Writes that were sent after a newer timeline had acknowledged one, and acknowledged on an
    /// older one.
    pub double_primaries: Vec<String>,
    /// Acknowledgements of an older timeline for writes that were on their way when a newer one
    /// acknowledged its first: the protocol allows them, because the newer one has these writes.
    pub late: usize,
    /// The longest times without any acknowledged write: from, length; the longest first.
    pub outages: Vec<(Micros, Micros)>,
    /// How many timelines acknowledged a write.
    pub timelines: usize,
}

impl Verdict {
    /// Every broken promise in words; empty when all were kept.
    pub fn complaints(&self) -> Vec<String> {
        let kinds = [
            ("lost", &self.lost),
            ("there although nobody may expect it", &self.ghosts),
            ("reordered", &self.reordered),
            ("vanished after it was seen", &self.vanished),
            ("an odd sum", &self.odd_sums),
            ("a double primary", &self.double_primaries),
        ];
        let told = |(kind, found): (&str, &Vec<String>)| {
            found.iter().map(|one| format!("{kind}: {one}")).collect::<Vec<_>>()
        };
        kinds.into_iter().flat_map(told).collect()
    }
}

/// An outage that is shorter is not told of.
const OUTAGE_MIN: Micros = 1_000_000;

/// Judges a run that took until `end`.
pub fn judge(history: &History, held: &Final, end: Micros) -> Verdict {
    let mut verdict = Verdict {
        acknowledged: history.with(Outcome::Acknowledged).count(),
        failed: history.with(Outcome::Failed).count(),
        indeterminate: history.with(Outcome::Indeterminate).count(),
        outages: outages(history, end),
        ..Verdict::default()
    };
    presence(history, held, &mut verdict);
    order(history, held, &mut verdict);
    sums(history, held, &mut verdict);
    primaries(history, &mut verdict);
    let vanished = history.seen.iter().filter(|(id, _)| !held.rows.contains(id));
    verdict.vanished = vanished
        .map(|(id, (at, node))| format!("row {id}, seen on {node} at {}", in_seconds(*at)))
        .collect();
    verdict
}

/// Which of the writes are there, and whether those that are were ever sent.
fn presence(history: &History, held: &Final, verdict: &mut Verdict) {
    let items: BTreeSet<i64> = held.lists.values().flatten().copied().collect();
    let mut sent = BTreeSet::new();
    for op in &history.ops {
        let (id, there) = match &op.what {
            What::Insert { id } => (*id, held.rows.contains(id)),
            What::Transfer { id, from, to, amount } => {
                (*id, held.transfers.get(id) == Some(&(*from, *to, *amount)))
            }
            What::Append { key, item } => {
                (*item, held.lists.get(key).is_some_and(|list| list.contains(item)))
            }
        };
        sent.insert(id);
        match (op.outcome, there) {
            (Outcome::Acknowledged, false) => verdict.lost.push(in_words(op)),
            (Outcome::Failed, true) => verdict.ghosts.push(in_words(op)),
            (Outcome::Indeterminate, true) => verdict.indeterminate_present += 1,
            _ => {}
        }
    }
    let present = held.rows.iter().chain(held.transfers.keys()).chain(&items);
    let unknown = present.filter(|id| !sent.contains(id));
    verdict.ghosts.extend(unknown.map(|id| format!("number {id}, which nobody sent")));
}

/// Real time rules: what was acknowledged before another was sent stands before it. A write
/// without a clear answer may have come at any time after it was sent.
fn order(history: &History, held: &Final, verdict: &mut Verdict) {
    let mut ops: BTreeMap<i64, &Op> = BTreeMap::new();
    for op in &history.ops {
        if let What::Append { item, .. } = &op.what {
            ops.insert(*item, op);
        }
    }
    for (key, list) in &held.lists {
        let mut once = BTreeSet::new();
        let mut latest_sent: Option<&Op> = None;
        for item in list {
            if !once.insert(*item) {
                verdict.reordered.push(format!("item {item} stands twice in list {key}"));
            }
            let Some(op) = ops.get(item) else { continue };
            if let Some(before) = latest_sent.filter(|_| op.outcome == Outcome::Acknowledged)
                && op.done < before.sent
            {
                let (one, other) = (in_words(before), in_words(op));
                verdict.reordered.push(format!("{one} stands before {other}"));
            }
            if latest_sent.is_none_or(|before| before.sent < op.sent) {
                latest_sent = Some(op);
            }
        }
    }
}

/// Accounts must be what their opening balance and the transfers that are there make of them.
fn sums(history: &History, held: &Final, verdict: &mut Verdict) {
    let odd = history.odd_sums.iter();
    verdict.odd_sums =
        odd.map(|(at, node, sum)| format!("{sum} on {node} at {}", in_seconds(*at))).collect();
    let mut expected: BTreeMap<i64, i64> =
        held.balances.keys().map(|account| (*account, held.opening)).collect();
    for (from, to, amount) in held.transfers.values() {
        *expected.entry(*from).or_default() -= amount;
        *expected.entry(*to).or_default() += amount;
    }
    for (account, wanted) in expected {
        let found = held.balances.get(&account).copied();
        if found != Some(wanted) {
            let words = format!("account {account} holds {found:?} instead of {wanted}");
            verdict.odd_sums.push(words);
        }
    }
}

/// No write is begun on an older timeline and acknowledged there once a newer one has
/// acknowledged a write.
fn primaries(history: &History, verdict: &mut Verdict) {
    let mut first: BTreeMap<u32, Micros> = BTreeMap::new();
    for op in history.with(Outcome::Acknowledged) {
        let Some(made) = &op.made else { continue };
        let at = first.entry(made.timeline).or_insert(op.done);
        *at = op.done.min(*at);
    }
    verdict.timelines = first.len();
    for op in history.with(Outcome::Acknowledged) {
        let Some(made) = &op.made else { continue };
        let newer = first.range(made.timeline + 1..).min_by_key(|(_, at)| **at);
        let Some((timeline, at)) = newer else { continue };
        if op.sent > *at {
            let since = in_seconds(*at);
            let words = format!("{}, although timeline {timeline} since {since}", in_words(op));
            verdict.double_primaries.push(words);
        } else if op.done > *at {
            verdict.late += 1;
        }
    }
}

/// Times without an acknowledged write, from the first one to the end of the run.
fn outages(history: &History, end: Micros) -> Vec<(Micros, Micros)> {
    let mut times: Vec<Micros> =
        history.with(Outcome::Acknowledged).map(|op| op.done).chain([end]).collect();
    times.sort_unstable();
    let gaps = times.windows(2).map(|pair| (pair[0], pair[1].saturating_sub(pair[0])));
    let mut outages: Vec<_> = gaps.filter(|(_, length)| *length >= OUTAGE_MIN).collect();
    outages.sort_by_key(|(_, length)| std::cmp::Reverse(*length));
    outages
}

fn in_words(op: &Op) -> String {
    let what = match &op.what {
        What::Insert { id } => format!("row {id}"),
        What::Transfer { id, .. } => format!("transfer {id}"),
        What::Append { key, item } => format!("item {item} of list {key}"),
    };
    let place = op.made.as_ref().map_or_else(String::new, |made| {
        format!(" made on {} (timeline {})", made.node, made.timeline)
    });
    let (sent, done) = (in_seconds(op.sent), in_seconds(op.done));
    format!("{what} of {}{place}, sent {sent}, {:?} {done}", op.client, op.outcome)
}

/// `12.345 s` of the run.
pub fn in_seconds(at: Micros) -> String {
    format!("{}.{:03} s", at / 1_000_000, at / 1_000 % 1_000)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
