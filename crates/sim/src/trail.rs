//! Which rules decided, and which followed which: the data of the drawing and of the test that
//! every rule is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use howdah_ha::Rule;

/// What a node is when a rule decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    Leads,
    Follows,
    /// Nobody leads.
    Stands,
}

/// Counted over one run or many.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trail {
    followed: BTreeMap<(Rule, Rule), u64>,
    roles: BTreeMap<Rule, BTreeSet<Role>>,
    /// How often each rule came to decide.
    counts: BTreeMap<Rule, u64>,
}

impl Trail {
    pub(crate) fn note(&mut self, role: Role, before: Option<Rule>, now: Rule) {
        if before == Some(now) {
            return;
        }
        self.roles.entry(now).or_default().insert(role);
        *self.counts.entry(now).or_default() += 1;
        if let Some(before) = before {
            *self.followed.entry((before, now)).or_default() += 1;
        }
    }

    pub fn add(&mut self, other: &Trail) {
        for (step, count) in &other.followed {
            *self.followed.entry(*step).or_default() += count;
        }
        for (rule, count) in &other.counts {
            *self.counts.entry(*rule).or_default() += count;
        }
        for (rule, roles) in &other.roles {
            self.roles.entry(*rule).or_default().extend(roles);
        }
    }

    /// How often a rule came to decide where another had before.
    pub fn counts(&self) -> &BTreeMap<Rule, u64> {
        &self.counts
    }

    /// How often a rule followed another on a node.
    pub fn followed(&self) -> &BTreeMap<(Rule, Rule), u64> {
        &self.followed
    }

    pub fn reached(&self) -> BTreeSet<Rule> {
        self.roles.keys().copied().collect()
    }

    /// As a Mermaid flowchart: the steps that make at least `percent` of those that leave a rule.
    pub fn drawing(&self, percent: u64) -> String {
        let mut leaving: BTreeMap<Rule, u64> = BTreeMap::new();
        for ((from, _), count) in &self.followed {
            *leaving.entry(*from).or_default() += count;
        }
        let mut text = String::from("flowchart LR\n");
        for (rule, roles) in &self.roles {
            let roles: Vec<&str> = roles.iter().map(|role| role.word()).collect();
            let (number, sentence) = (rule.number(), rule.sentence());
            let _ = writeln!(text, "  r{number}[\"{number} {sentence} ({})\"]", roles.join(", "));
        }
        for ((from, to), count) in &self.followed {
            if count * 100 >= leaving[from] * percent {
                let _ = writeln!(text, "  r{} --> r{}", from.number(), to.number());
            }
        }
        text
    }
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Role::Leads => "leads",
            Role::Follows => "follows",
            Role::Stands => "no leader",
        }
    }
}
