//! Rules of pg_hba: those that Howdah can judge are carried in their order.

use std::collections::BTreeSet;

use howdah_spec::hba::{DatabaseMatch, HbaRule, RoleMatch, Transport};

use crate::draft::{Draft, LeafId, Rank};
use crate::finding::Fate;
use crate::names;

/// Claims one rule, or tells why not. Blank lines and comments are none.
pub(crate) fn take(draft: &mut Draft, leaf: LeafId, line: &str, rank: Rank) {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return;
    }
    let rule = match HbaRule::parse(line) {
        Ok(rule) => rule,
        Err(bad) => {
            let hint = bad.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            // An option of ldap or radius may be a secret, and the message may name it.
            let what = if names::holds_secret(&bad.message) {
                "Howdah does not know this method or option".to_owned()
            } else {
                bad.message + &hint
            };
            return draft.tell(leaf, Fate::not_carried(what));
        }
    };
    match rule.transport {
        Transport::Local => {
            let what = "PostgreSQL's socket is private to Howdah; programs of this machine connect \
                        to 127.0.0.1, with a password";
            draft.tell(leaf, Fate::not_carried(what));
        }
        _ if is_for_standbys(&rule, &draft.replicators) => {
            let how = "standbys prove themselves by certificates of the cluster's own authority";
            draft.tell(leaf, Fate::replaced(how));
        }
        _ => draft.rule(&tidy(line), leaf, rank),
    }
}

/// A rule that lets in nobody but those who replicated so far.
fn is_for_standbys(rule: &HbaRule, replicators: &BTreeSet<String>) -> bool {
    let replicates = |role: &RoleMatch| match role {
        RoleMatch::Name(name) => replicators.contains(name),
        RoleMatch::All => false,
    };
    rule.databases.iter().all(|database| *database == DatabaseMatch::Replication)
        && rule.roles.iter().all(replicates)
}

/// One blank between fields, and no comment: columns that were aligned are not any more.
fn tidy(line: &str) -> String {
    if line.contains('"') {
        return line.to_owned();
    }
    let line = line.split('#').next().unwrap_or(line);
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The rules of a pg_hba.conf with their lines: a backslash at the end of a line goes on with
/// the next one (PostgreSQL 14 and later).
pub(crate) fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut rules = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (place, line) in text.lines().enumerate() {
        let (number, mut rule) = open.take().unwrap_or((place + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(line) => {
                rule += line;
                open = Some((number, rule));
            }
            None => rules.push((number, rule + line)),
        }
    }
    rules.extend(open);
    rules.retain(|(_, rule)| !rule.trim().is_empty() && !rule.trim_start().starts_with('#'));
    rules
}

/// What a finding calls a rule: no option of it may be shown, but whom it is for.
pub(crate) fn called(rule: &str) -> String {
    rule.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
