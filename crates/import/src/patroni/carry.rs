//! Patroni's files to the cluster file: one a node, what all share, and variables.

mod bootstrap;
mod callbacks;
mod dynamic;
mod node;
mod store;
mod table;
mod tags;

pub(crate) use bootstrap::initdb_option;

use crate::draft::{ANY_NODE, Claim, Draft, Key, LeafId, Rank, Value};
use crate::finding::Fate;
use crate::names;
use crate::table::tell_rest;
use crate::tree::Tree;

/// One Patroni node's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Document<'n> {
    pub(crate) tree: Tree<'n>,
    /// [`Rank::Local`] for a file, [`Rank::Override`] for variables.
    pub(crate) rank: Rank,
    /// What it is called where it does not name itself.
    pub(crate) name: Option<String>,
}

/// Everything of Patroni's among the inputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patroni<'n> {
    pub(crate) documents: Vec<Document<'n>>,
    /// What the store holds: the output of `patronictl show-config`.
    pub(crate) shared: Vec<Tree<'n>>,
}

/// A document with the name of its node in the cluster file.
struct Member<'n> {
    tree: Tree<'n>,
    rank: Rank,
    name: String,
}

/// Carries over what can be, and tells of everything else.
pub(crate) fn carry(draft: &mut Draft, patroni: &Patroni<'_>) {
    let members: Vec<Member<'_>> = patroni.documents.iter().map(|d| member(draft, d)).collect();
    for member in &members {
        node::carry(draft, member);
        tags::carry(draft, member);
        bootstrap::carry(draft, member);
    }
    store::carry(draft, &members);
    callbacks::carry(draft, &members);
    shared(draft, patroni, &members);
    for member in &members {
        let (source, root) = (member.tree.source, &member.tree.root);
        let dcs = root.join("bootstrap").join("dcs");
        tell_rest(draft, source, &dcs, table::SHARED, table::UNKNOWN);
        methods(draft, member);
        tell_rest(draft, source, root, table::rows(), table::UNKNOWN);
    }
    for tree in &patroni.shared {
        tell_rest(draft, tree.source, &tree.root, table::SHARED, table::UNKNOWN);
    }
}

/// Whom Patroni's standbys connect as.
pub(crate) fn replicators(documents: &[Document<'_>]) -> impl Iterator<Item = String> {
    let keys = ["postgresql", "authentication", "replication", "username"];
    documents.iter().filter_map(move |document| document.tree.text(&keys).map(str::to_owned))
}

/// What the store holds is in force; what the cluster was made with counts only without it.
fn shared(draft: &mut Draft, patroni: &Patroni<'_>, members: &[Member<'_>]) {
    let local_rules =
        members.iter().any(|member| member.tree.at(&["postgresql", "pg_hba"]).is_some());
    for tree in &patroni.shared {
        dynamic::carry(draft, tree, Rank::Shared, local_rules);
    }
    for member in members {
        let Some(tree) = member.tree.at(&["bootstrap", "dcs"]) else { continue };
        if patroni.shared.is_empty() {
            dynamic::carry(draft, &tree, Rank::Bootstrap, local_rules);
        } else {
            let why = "the cluster was made with it; the shared configuration counts";
            tree.tell(draft, &Fate::not_carried(why));
        }
    }
    if members.is_empty() && patroni.shared.is_empty() {
        return;
    }
    let note = "Patroni waits for no standby unless synchronous_mode says so";
    let key = Key::of(&["durability"]);
    draft.claim(Claim::guess(key, Value::text("async"), note));
}

/// Sections that others name: a method of making a cluster or a standby.
fn methods(draft: &mut Draft, member: &Member<'_>) {
    let lists = ["create_replica_methods", "create_replica_method"];
    let listed = lists.iter().filter_map(|key| member.at(&["postgresql", key]));
    let mut sections: Vec<[String; 2]> = listed
        .flat_map(|tree| tree.node.texts().into_iter().map(str::to_owned).collect::<Vec<_>>())
        .flat_map(|text| text.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>())
        .map(|name| ["postgresql".to_owned(), name])
        .collect();
    if let Some(method) = member.tree.text(&["bootstrap", "method"]) {
        sections.push(["bootstrap".to_owned(), method.to_owned()]);
    }
    for [section, name] in &sections {
        let known = ["basebackup", "initdb", "dcs", "parameters"].contains(&name.as_str());
        if let Some(tree) = member.at(&[section, name]).filter(|_| !known) {
            let what =
                "a method of its own; Howdah makes clusters by initdb and copies by pg_basebackup";
            tree.tell(draft, &Fate::not_carried(what));
        }
    }
}

fn member<'n>(draft: &mut Draft, document: &Document<'n>) -> Member<'n> {
    let Document { tree, rank, name } = document.clone();
    let name = match tree.text(&["name"]).map(str::to_owned).or(name) {
        Some(name) => draft.node(&name),
        None => ANY_NODE.to_owned(),
    };
    Member { tree, rank, name }
}

impl Member<'_> {
    /// A key of this node.
    fn key(&self, key: &[&str]) -> Key {
        Key::of(&[&["nodes", &self.name], key].concat())
    }

    fn at(&self, keys: &[&str]) -> Option<Tree<'_>> {
        self.tree.at(keys)
    }
}

/// Lines of pg_hba: a list, or blocks of text.
fn rules(draft: &mut Draft, tree: &Tree<'_>, rank: Rank) {
    let parts: Vec<Tree<'_>> =
        if tree.node.items().is_empty() { vec![tree.clone()] } else { tree.items().collect() };
    for part in parts {
        let (Some(leaf), Some(text)) = (part.leaf(draft), part.node.text()) else { continue };
        for line in text.lines() {
            crate::hba::take(draft, leaf, line, rank);
        }
    }
}

/// Carries server parameters of a mapping.
fn parameters(draft: &mut Draft, tree: &Tree<'_>, rank: Rank) {
    for (name, part) in tree.entries() {
        let Some(leaf) = part.leaf(draft) else { continue };
        match part.node.text() {
            Some(value) => {
                let origin = crate::parameters::Origin::Other;
                crate::parameters::take(draft, leaf, name, value, rank, origin);
            }
            None => draft.tell(leaf, Fate::replaced("without a value, as PostgreSQL's default")),
        }
    }
}

/// A cluster's name, told when it had to be changed.
fn cluster(draft: &mut Draft, leaf: LeafId, scope: &str, rank: Rank) {
    let name = names::tidy(scope, "c");
    let claim = Claim::new(Key::of(&["cluster"]), Value::text(&name), leaf, rank);
    draft.claim(if name == scope { claim } else { claim.noted(format!("was {scope}")) });
}
