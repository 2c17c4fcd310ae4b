//! docker-compose files: services that run PostgreSQL become nodes, the variables of all
//! services are read, and of the rest is told what takes its place.

mod command;
mod table;

use crate::draft::{Claim, Draft, Key, LeafId, Rank, Value};
use crate::env::{Scope, Variable};
use crate::finding::Fate;
use crate::names;
use crate::table::look_up;
use crate::tree::Tree;
use crate::yaml::Path;

/// What a compose file says besides its keys.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) scopes: Vec<Scope>,
    /// Whether nodes were found whose addresses nobody knows.
    pub(crate) nodes: usize,
}

/// Finds the servers and the variables: what those mean may depend on other inputs.
pub(crate) fn open(draft: &mut Draft, tree: &Tree<'_>) -> Found {
    let mut found = Found::default();
    for (name, service) in services(tree).entries() {
        let node = is_server(name, &service).then(|| draft.node(name));
        found.nodes += usize::from(node.is_some());
        let variables = variables(draft, &service);
        found.scopes.push(Scope { variables, node, container: true });
    }
    found
}

/// Carries over what can be but the variables.
pub(crate) fn carry(draft: &mut Draft, tree: &Tree<'_>) {
    for (name, service) in services(tree).entries() {
        if is_server(name, &service) {
            let node = draft.node(name);
            server(draft, &node, name, &service);
        } else {
            told(draft, &service, &table::rows_of(role_of(name, &service)));
        }
    }
    if let Some(name) = tree.at(&["name"])
        && let Some(text) = name.node.text()
    {
        let value = Value::text(names::tidy(text, "c"));
        name.claim(draft, &Key::of(&["cluster"]), &value, Rank::Environment);
    }
}

/// What is left when all inputs have had their say.
pub(crate) fn tell_rest(draft: &mut Draft, tree: &Tree<'_>) {
    for (name, service) in services(tree).entries() {
        if let Some(environment) = service.at(&["environment"]) {
            // What another service wants to know has meaning for that service.
            let rows = table::rows_of(role_of(name, &service));
            let of_service =
                || look_up(rows.iter().copied().flatten(), &["environment".to_owned()]);
            let own = if is_server(name, &service) { None } else { of_service() };
            let unknown = || Fate::Unknown(crate::env::UNKNOWN.to_owned());
            let fate = own.unwrap_or_else(unknown);
            for leaf in environment.leaves(draft) {
                if !draft.is_settled(leaf) {
                    draft.tell(leaf, fate.clone());
                }
            }
        }
        told(draft, &service, &[table::SERVER]);
    }
    crate::table::tell_rest(draft, tree.source, &tree.root, table::TOP, table::UNKNOWN);
}

/// A cut-out of a file may be services alone.
fn services<'n>(tree: &Tree<'n>) -> Tree<'n> {
    tree.at(&["services"]).unwrap_or_else(|| tree.clone())
}

fn role_of(name: &str, service: &Tree<'_>) -> table::Role {
    table::role_of(name, service.text(&["image"]).unwrap_or_default())
}

fn is_server(name: &str, service: &Tree<'_>) -> bool {
    role_of(name, service) == table::Role::Server && !is_client(service)
}

/// A server's image that only runs a client: `psql`, `pg_dump`.
fn is_client(service: &Tree<'_>) -> bool {
    let command = service.node.get("command").or(service.node.get("entrypoint"));
    let words = command.map(|node| node.texts().join(" ")).unwrap_or_default();
    let first = words.split_whitespace().next().unwrap_or_default();
    let clients = ["psql", "pg_dump", "pg_dumpall", "pg_isready", "pgbench"];
    clients.contains(&first.rsplit('/').next().unwrap_or(first))
}

fn server(draft: &mut Draft, node: &str, name: &str, service: &Tree<'_>) {
    let table = Claim::guess(Key::of(&["nodes", node]), Value::Table, "");
    let note = (node != name).then(|| format!("was {name}"));
    draft.claim(Claim { note, ..table });
    if let Some(image) = service.at(&["image"])
        && let Some(leaf) = image.leaf(draft)
    {
        match image.node.text().and_then(names::major_of_image) {
            Some(major) => {
                let key = Key::of(&["postgresql", "major"]);
                draft.claim(Claim::new(key, Value::Number(major), leaf, Rank::Environment));
            }
            None => draft.tell(leaf, Fate::not_carried("set `major` in `[postgresql]`")),
        }
    }
    if let Some(tree) = service.at(&["command"]) {
        command::carry(draft, &tree);
    }
}

fn told(draft: &mut Draft, service: &Tree<'_>, tables: &[&'static [crate::table::Row]]) {
    for (leaf, path) in draft.untold(service.source) {
        let Some(below) = path.0.strip_prefix(service.root.0.as_slice()) else { continue };
        // Variables are told of one by one, by what they mean.
        if below.first().is_some_and(|first| first == "environment") {
            continue;
        }
        if let Some(fate) = tables.iter().find_map(|rows| look_up(*rows, below)) {
            draft.tell(leaf, fate);
        }
    }
}

/// Both forms: a mapping, or a list of `NAME=value`.
fn variables(draft: &mut Draft, service: &Tree<'_>) -> Vec<Variable> {
    let Some(environment) = service.at(&["environment"]) else { return Vec::new() };
    let mut variables = Vec::new();
    for (name, part) in environment.entries() {
        if let Some(leaf) = part.leaf(draft) {
            let value = part.node.text().unwrap_or_default();
            variables.push(variable(name, value, leaf));
        }
    }
    for item in environment.items() {
        let (Some(leaf), Some(text)) = (item.leaf(draft), item.node.text()) else { continue };
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        // The value must not become part of the finding.
        let mut path: Path = environment.root.clone();
        path.0.push(name.to_owned());
        draft.leaves(environment.source).call(leaf, &path.to_string());
        variables.push(variable(name, value, leaf));
    }
    variables
}

fn variable(name: &str, value: &str, leaf: LeafId) -> Variable {
    // A doubled dollar sign is one in compose files.
    Variable { name: name.to_owned(), value: value.replace("$$", "$"), leaf }
}
