//! Which rules decided, and which followed which: the data of the drawing and of the test that
//! every rule is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use howdah_ha::Rule;

/// Counted over one run or many.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trail {
    followed: BTreeMap<(Rule, Rule), u64>,
    /// How often each rule came to decide.
    counts: BTreeMap<Rule, u64>,
}

impl Trail {
    pub(crate) fn note(&mut self, before: Option<Rule>, now: Rule) {
        if before == Some(now) {
            return;
        }
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
        self.counts.keys().copied().collect()
    }

    /// What a kept summary says ([`crate::report::json`]).
    ///
    /// # Errors
    /// A rule or a count that cannot be read.
    pub fn of_summary(text: &str) -> Result<Trail, String> {
        let mut trail = Trail::default();
        for (key, count) in crate::report::object_of(text, "rules")? {
            if count > 0 {
                trail.counts.insert(rule(&key)?, count);
            }
        }
        for (key, count) in crate::report::object_of(text, "transitions")? {
            let (from, to) = key.split_once(' ').ok_or(format!("not two rules: `{key}`"))?;
            trail.followed.insert((rule(from)?, rule(to)?), count);
        }
        Ok(trail)
    }

    /// As a Mermaid flowchart: the steps that make at least `percent` of those that leave a rule.
    pub fn drawing(&self, percent: u64) -> String {
        let mut leaving: BTreeMap<Rule, u64> = BTreeMap::new();
        for ((from, _), count) in &self.followed {
            *leaving.entry(*from).or_default() += count;
        }
        let mut text = String::from("flowchart LR\n");
        for rule in self.counts.keys() {
            let (number, sentence) = (rule.number(), rule.sentence());
            let _ = writeln!(text, "  r{number}[\"{number} {sentence}\"]");
        }
        for ((from, to), count) in &self.followed {
            if count * 100 >= leaving[from] * percent {
                let _ = writeln!(text, "  r{} --> r{}", from.number(), to.number());
            }
        }
        text
    }
}

fn rule(number: &str) -> Result<Rule, String> {
    let found = Rule::ALL.iter().find(|rule| rule.number().to_string() == number);
    found.copied().ok_or(format!("no such rule: `{number}`"))
}
