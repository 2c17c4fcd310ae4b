//! `postgresql.callbacks`: hooks that get Patroni's three arguments.

use std::collections::{BTreeMap, BTreeSet};

use super::Member;
use crate::draft::{ANY_NODE, Claim, Draft, Key, LeafId, Rank, Value};
use crate::finding::Fate;
use crate::names;

/// Patroni's callbacks; the cluster file has events of the same names.
const EVENTS: [&str; 5] = ["on_reload", "on_restart", "on_role_change", "on_start", "on_stop"];

/// Who calls a command for the same events.
#[derive(Default)]
struct Hook {
    nodes: BTreeSet<String>,
    leaves: Vec<(LeafId, Rank)>,
}

/// One node's events of one command.
type Calls = BTreeMap<Vec<String>, (BTreeSet<String>, Vec<(LeafId, Rank)>)>;

pub(super) fn carry(draft: &mut Draft, members: &[Member<'_>]) {
    let mut hooks: BTreeMap<(Vec<String>, BTreeSet<String>), Hook> = BTreeMap::new();
    for member in members {
        for (words, (events, leaves)) in calls(draft, member) {
            let hook = hooks.entry((words, events)).or_default();
            hook.nodes.insert(member.name.clone());
            hook.leaves.extend(leaves);
        }
    }
    let everyone: BTreeSet<&String> = members.iter().map(|member| &member.name).collect();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for ((words, events), hook) in hooks {
        let path = words.first().map(String::as_str).unwrap_or_default();
        let program = path.rsplit('/').next().unwrap_or(path);
        let stem = program.split('.').next().unwrap_or(program);
        let name = names::unique(&names::tidy(stem, "hook-"), &|name| taken.contains(name));
        taken.insert(name.clone());
        let all = everyone.len() == hook.nodes.len() || hook.nodes.contains(ANY_NODE);
        claim(draft, &name, words, events, &hook, all);
    }
}

fn calls(draft: &mut Draft, member: &Member<'_>) -> Calls {
    let mut calls = Calls::new();
    let Some(callbacks) = member.at(&["postgresql", "callbacks"]) else { return calls };
    for (event, tree) in callbacks.entries() {
        let Some(leaf) = tree.leaf(draft) else { continue };
        match command(event, tree.node.text()) {
            Ok(words) => {
                let (events, leaves) = calls.entry(words).or_default();
                events.insert(event.to_owned());
                leaves.push((leaf, member.rank));
            }
            Err(fate) => draft.tell(leaf, fate),
        }
    }
    calls
}

fn command(event: &str, text: Option<&str>) -> Result<Vec<String>, Fate> {
    if !EVENTS.contains(&event) {
        return Err(Fate::Unknown("not a callback of Patroni's".to_owned()));
    }
    let text = text.unwrap_or_default();
    if names::holds_secret(text) {
        let what = "the command seems to hold a secret; take that out and add a hook by hand";
        return Err(Fate::not_carried(what));
    }
    match names::words(text) {
        Some(words) if !words.is_empty() => Ok(words),
        Some(_) => Err(Fate::replaced("an empty command calls nothing")),
        None => Err(Fate::not_carried("a quote is not closed; add `[hooks.NAME]` by hand")),
    }
}

fn claim(
    draft: &mut Draft,
    name: &str,
    words: Vec<String>,
    events: BTreeSet<String>,
    hook: &Hook,
    all: bool,
) {
    let key = |key: &str| Key::of(&["hooks", name, key]);
    let on = Value::Texts(events.into_iter().collect());
    for (leaf, rank) in &hook.leaves {
        draft.claim(Claim::new(key("on"), on.clone(), *leaf, *rank));
    }
    let command = Value::Texts(words);
    let follows = |key, value| Claim { note: None, ..Claim::guess(key, value, "") };
    draft.claim(follows(key("command"), command));
    draft.claim(Claim::guess(
        key("patroni_arguments"),
        Value::Flag(true),
        "as Patroni calls it: action, role, cluster",
    ));
    if !all {
        let nodes = Value::Texts(hook.nodes.iter().cloned().collect());
        draft.claim(follows(key("nodes"), nodes));
    }
}
