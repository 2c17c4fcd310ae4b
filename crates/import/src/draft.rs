//! The cluster file in the making: claims of inputs to its keys, and what was told of the rest.
//!
//! ```text
//! input leaf --claim--> key = value ---+--> the strongest claim stands in the file,
//!            \-- tell --> fate         |    the others are told whose value counts
//!                                      +--> the cluster file's own checks strike out
//! ```
//!
//! A leaf that nobody claims or tells of ends as unknown, so none is lost.

mod key;
mod leaf;
mod settle;
mod value;
mod write;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Fate, Finding};
use crate::names;
use crate::yaml::Path;

pub(crate) use key::{ANY_NODE, Key};
pub(crate) use leaf::{LeafId, Leaves};
pub(crate) use value::Value;

/// Everything that inputs want of the cluster file.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    sources: Vec<Leaves>,
    claims: Vec<Claim>,
    /// Claims on rules of pg_hba, in order.
    rules: Vec<Claim>,
    secrets: Vec<Secret>,
    /// Names of nodes as the file has them, by what the inputs call them.
    nodes: BTreeMap<String, String>,
    /// Comments above the nodes, told to whoever fills the file in.
    pub(crate) hints: Vec<String>,
    /// Roles that only standbys connect as: certificates take their place.
    pub(crate) replicators: BTreeSet<String>,
    /// A pg_hba.conf is among the inputs.
    pub(crate) has_rules: bool,
}

/// One leaf's wish for one key.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) key: Key,
    pub(crate) value: Value,
    /// Who claims it; a claim of nobody's is a consequence of others.
    pub(crate) by: Option<LeafId>,
    pub(crate) rank: Rank,
    /// Said in the comment, before the place.
    pub(crate) note: Option<String>,
    /// Why the file cannot have it.
    pub(crate) struck: Option<String>,
}

/// Who wins where inputs differ. Among equals the later one does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Rank {
    /// What follows from something else.
    Guess,
    /// Who connects says little of what it connects to.
    Client,
    Environment,
    Conf,
    /// `bootstrap` of Patroni: what a cluster was made with.
    Bootstrap,
    Manifest,
    /// What all nodes of a Patroni cluster share.
    Shared,
    /// One node's own file.
    Local,
    /// Variables win over files, in Patroni.
    Override,
    /// ALTER SYSTEM wins over everything.
    System,
}

/// A secret that was found: where the file expects it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Secret {
    /// What it is the password of, such as `role app`.
    pub(crate) of: String,
    pub(crate) place: String,
    pub(crate) found: LeafId,
}

impl Draft {
    /// Takes in an input's leaves; their ids come from the result.
    pub(crate) fn open(&mut self, file: &str) -> usize {
        let source = self.sources.len();
        self.sources.push(Leaves::new(source, file));
        source
    }

    pub(crate) fn leaves(&mut self, source: usize) -> &mut Leaves {
        &mut self.sources[source]
    }

    /// Whether anything has been said of a leaf.
    pub(crate) fn is_settled(&self, leaf: LeafId) -> bool {
        let mut claims = self.claims.iter().chain(&self.rules);
        claims.any(|claim| claim.by == Some(leaf)) || self.sources[leaf.source].is_told(leaf)
    }

    /// Whether anything claims `key`.
    pub(crate) fn is_claimed(&self, key: &Key) -> bool {
        self.claims.iter().any(|claim| claim.key == *key)
    }

    /// The leaves of an input that are neither claimed by anybody nor told of.
    pub(crate) fn untold(&self, source: usize) -> Vec<(LeafId, Path)> {
        let claims = self.claims.iter().chain(&self.rules);
        let claimed: BTreeSet<LeafId> = claims.filter_map(|claim| claim.by).collect();
        let untold = self.sources[source].untold().into_iter();
        untold.filter(|(leaf, _)| !claimed.contains(leaf)).collect()
    }

    /// The name of a node of the cluster file for what an input calls `original`.
    pub(crate) fn node(&mut self, original: &str) -> String {
        if let Some(name) = self.nodes.get(original) {
            return name.clone();
        }
        let taken: BTreeSet<&str> = self.nodes.values().map(String::as_str).collect();
        let name = names::unique(&names::tidy(original, "n"), &|name| taken.contains(name));
        self.nodes.insert(original.to_owned(), name.clone());
        name
    }

    pub(crate) fn claim(&mut self, claim: Claim) {
        self.claims.push(claim);
    }

    /// A rule of pg_hba, unless it is there already.
    pub(crate) fn rule(&mut self, line: &str, by: LeafId, rank: Rank) {
        let value = Value::Text(line.to_owned());
        self.rules.push(Claim::new(Key::of(&["hba"]), value, by, rank));
    }

    pub(crate) fn tell(&mut self, leaf: LeafId, fate: Fate) {
        self.sources[leaf.source].tell(leaf, fate);
    }

    pub(crate) fn secret(&mut self, of: &str, place: String, found: LeafId) {
        self.secrets.push(Secret { of: of.to_owned(), place, found });
    }

    /// `file:line` of a leaf, without folders where that is clear enough.
    pub(crate) fn place(&self, leaf: LeafId) -> String {
        let place = self.sources[leaf.source].place(leaf);
        let file = self.sources[leaf.source].file();
        let same = self.sources.iter().filter(|other| base(other.file()) == base(file)).count();
        if same > 1 { place } else { base(&place).to_owned() }
    }

    /// The claim that counts for `key`, if any.
    pub(crate) fn winner(&self, key: &Key) -> Option<&Claim> {
        let of_key = self.claims.iter().filter(|claim| claim.key == *key && claim.stands());
        of_key.max_by_key(|claim| claim.rank)
    }

    pub(crate) fn secrets(&self) -> Vec<(String, String, String)> {
        let mut secrets = self.secrets.clone();
        secrets.sort();
        secrets.dedup_by(|a, b| (&a.of, &a.place) == (&b.of, &b.place));
        let told = |s: Secret| {
            let found = self.place(s.found);
            (s.of, s.place, found)
        };
        secrets.into_iter().map(told).collect()
    }

    /// Every leaf of every input with its fate, in order.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let winners = self.winners();
        let mut claims: BTreeMap<LeafId, Vec<&Claim>> = BTreeMap::new();
        for claim in self.claims.iter().chain(&self.rules) {
            if let Some(leaf) = claim.by {
                claims.entry(leaf).or_default().push(claim);
            }
        }
        let fate = |leaf: LeafId, told: Option<&Fate>| {
            let own = claims.get(&leaf).map(Vec::as_slice).unwrap_or_default();
            let counts = |claim: &&&Claim| counts(&winners, claim);
            let carried: Vec<&Claim> = own.iter().filter(counts).copied().collect();
            let mut lost: Vec<String> = own
                .iter()
                .filter(|claim| !counts(claim))
                .map(|claim| self.why_not(&winners, claim))
                .collect();
            lost.dedup();
            match told {
                Some(Fate::NotCarried(what)) if !own.is_empty() => lost.push(what.clone()),
                Some(fate) if own.is_empty() => return fate.clone(),
                _ => {}
            }
            let lost = lost.join("; ");
            match (carried.is_empty(), lost.is_empty()) {
                (true, true) => Fate::Unknown(String::new()),
                (true, false) => Fate::NotCarried(lost),
                (false, true) => Fate::Carried(carried_to(&carried)),
                (false, false) => Fate::Carried(format!("{}, but {lost}", carried_to(&carried))),
            }
        };
        self.sources.iter().flat_map(|source| source.findings(&fate)).collect()
    }

    /// The claim that counts for each key.
    pub(crate) fn winners(&self) -> BTreeMap<&Key, &Claim> {
        let mut winners: BTreeMap<&Key, &Claim> = BTreeMap::new();
        for claim in self.claims.iter().filter(|claim| claim.stands()) {
            let winner = winners.entry(&claim.key).or_insert(claim);
            if claim.rank >= winner.rank {
                *winner = claim;
            }
        }
        winners
    }

    fn why_not(&self, winners: &BTreeMap<&Key, &Claim>, claim: &Claim) -> String {
        if let Some(why) = &claim.struck {
            return why.clone();
        }
        match winners.get(&claim.key).and_then(|winner| winner.by) {
            Some(leaf) => format!("another value of `{}` counts: {}", claim.key, self.place(leaf)),
            None => format!("another value of `{}` counts", claim.key),
        }
    }
}

/// Whether the file has this claim's value.
fn counts(winners: &BTreeMap<&Key, &Claim>, claim: &Claim) -> bool {
    let wins = || winners.get(&claim.key).is_some_and(|winner| winner.value == claim.value);
    claim.stands() && (claim.key.is_rule() || wins())
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The keys, and what is to be known of them.
fn carried_to(claims: &[&Claim]) -> String {
    let mut keys: Vec<String> = claims.iter().map(|claim| claim.key.to_string()).collect();
    keys.dedup();
    let mut notes: Vec<&str> = claims.iter().filter_map(|claim| claim.note.as_deref()).collect();
    notes.dedup();
    if notes.is_empty() {
        keys.join(", ")
    } else {
        format!("{}: {}", keys.join(", "), notes.join("; "))
    }
}

impl Claim {
    pub(crate) fn new(key: Key, value: Value, by: LeafId, rank: Rank) -> Claim {
        Claim { key, value, by: Some(by), rank, note: None, struck: None }
    }

    /// What follows from other keys.
    pub(crate) fn guess(key: Key, value: Value, note: &str) -> Claim {
        let note = Some(note.to_owned());
        Claim { key, value, by: None, rank: Rank::Guess, note, struck: None }
    }

    pub(crate) fn noted(mut self, note: impl Into<String>) -> Claim {
        self.note = Some(note.into());
        self
    }

    pub(crate) fn stands(&self) -> bool {
        self.struck.is_none()
    }
}
