//! `bootstrap`, but for `bootstrap.dcs`: what a cluster was made with.

use super::{Member, rules};
use crate::draft::{Draft, Key, Rank, Value};
use crate::finding::Fate;
use crate::roles::{self, Attributes};
use crate::tree::Tree;

pub(super) fn carry(draft: &mut Draft, member: &Member<'_>) {
    if let Some(tree) = member.at(&["bootstrap", "initdb"]) {
        initdb(draft, &tree);
    }
    if let Some(tree) = member.at(&["bootstrap", "users"]) {
        for (name, user) in tree.entries() {
            declare(draft, name, &user);
        }
    }
    let Some(tree) = member.at(&["bootstrap", "pg_hba"]) else { return };
    let others = [&["postgresql", "pg_hba"][..], &["bootstrap", "dcs", "postgresql", "pg_hba"][..]];
    match others.iter().any(|keys| member.at(keys).is_some()) {
        true => tree.tell(draft, &Fate::not_carried("`postgresql.pg_hba` counts after the start")),
        false => rules(draft, &tree, Rank::Bootstrap),
    }
}

/// A list of options, or a mapping.
fn initdb(draft: &mut Draft, tree: &Tree<'_>) {
    for item in tree.items() {
        match item.node.text() {
            Some(flag) => option(draft, &item, flag, None),
            None => {
                item.entries().for_each(|(name, part)| option(draft, &part, name, part.node.text()))
            }
        }
    }
    for (name, part) in tree.entries() {
        option(draft, &part, name, part.node.text());
    }
}

/// One option of initdb, to every leaf of `tree`.
fn option(draft: &mut Draft, tree: &Tree<'_>, name: &str, value: Option<&str>) {
    let fate = match (name.trim_start_matches('-'), value) {
        ("locale", Some(locale)) => {
            let key = Key::of(&["postgresql", "locale"]);
            return tree.claim(draft, &key, &Value::text(locale), Rank::Bootstrap);
        }
        (name, value) => initdb_option(name, value),
    };
    tree.tell(draft, &fate);
}

/// What is said of an option of initdb other than the locale.
pub(crate) fn initdb_option(name: &str, value: Option<&str>) -> Fate {
    match (name, value) {
        ("data-checksums" | "k", _) => Fate::replaced("Howdah makes every cluster with checksums"),
        ("encoding" | "E", Some(encoding)) if is_utf8(encoding) => {
            Fate::replaced("Howdah makes every cluster in UTF-8")
        }
        ("encoding" | "E", _) => Fate::not_carried(
            "Howdah makes every cluster in UTF-8; `howdah adopt` takes one of another encoding",
        ),
        (
            "auth" | "auth-host" | "auth-local" | "A" | "pwfile" | "pwprompt" | "username" | "U",
            _,
        ) => Fate::replaced("Howdah decides how its own sessions come in, `hba` how others do"),
        _ => Fate::not_carried("an option of initdb that matters only when a cluster is made"),
    }
}

fn is_utf8(encoding: &str) -> bool {
    matches!(encoding.to_ascii_lowercase().as_str(), "utf8" | "utf-8" | "unicode")
}

/// `bootstrap.users.NAME`: its options and its password.
fn declare(draft: &mut Draft, name: &str, user: &Tree<'_>) {
    let mut attributes = Attributes::default();
    let options: Vec<Tree<'_>> = match user.at(&["options"]) {
        Some(options) if options.node.items().is_empty() => vec![options],
        Some(options) => options.items().collect(),
        None => Vec::new(),
    };
    let mut known = Vec::new();
    for option in &options {
        let words = option.node.text().unwrap_or_default().split(',');
        let words: Vec<&str> = words.map(str::trim).filter(|word| !word.is_empty()).collect();
        if words.iter().all(|word| attributes.add(word)) {
            known.extend(option.leaf(draft));
        } else {
            option.tell(draft, &Fate::not_carried("no kind of role has it; grant it by hand"));
        }
    }
    let password = user.at(&["password"]);
    let password = password.and_then(|tree| Some((tree.leaf(draft)?, tree.node.text())));
    for leaf in known.into_iter().chain(password.map(|(leaf, _)| leaf)) {
        roles::declare(draft, name, attributes, leaf, Rank::Bootstrap);
    }
    if let Some((leaf, password)) = password {
        roles::password(draft, name, password.unwrap_or_default(), leaf, Rank::Bootstrap);
    }
}
