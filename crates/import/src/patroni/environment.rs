//! `PATRONI_*` variables: each stands for a key of `patroni.yml` and wins over it.
//! Source: Patroni's documentation, "Environment Configuration Settings".

use super::dcs::DcsKind;
use crate::yaml::{Entry, Node, Path, Value};

const PREFIX: &str = "PATRONI_";

/// Sections that a variable names by its first word; the rest is the key, in lower case.
const SECTIONS: [&str; 6] = ["restapi", "ctl", "postgresql", "log", "raft", "citus"];
/// Below `postgresql.authentication`.
const LOGINS: [&str; 3] = ["superuser", "replication", "rewind"];

/// The tree with the variables laid over it; others than Patroni's are passed over.
pub fn overlay<'v>(
    mut node: Node,
    variables: impl IntoIterator<Item = (&'v str, &'v str)>,
) -> Node {
    for (name, value) in variables {
        if let Some(path) = path_of(name).filter(|_| !value.is_empty()) {
            put(&mut node, &path.0, value);
        }
    }
    node
}

/// The key of `patroni.yml` that variable `name` stands for.
pub fn path_of(name: &str) -> Option<Path> {
    let rest = name.strip_prefix(PREFIX)?;
    let lower = rest.to_ascii_lowercase();
    let parts: Vec<&str> = match lower.split_once('_') {
        None => match lower.as_str() {
            "name" | "scope" | "namespace" => vec![&lower],
            _ => return None,
        },
        Some(("restapi", key @ ("username" | "password"))) => {
            vec!["restapi", "authentication", key]
        }
        Some((section, key)) if SECTIONS.contains(&section) => vec![section, key],
        Some((section, key)) if is_store(section) => vec![section, key],
        Some((who, key)) if LOGINS.contains(&who) => {
            vec!["postgresql", "authentication", who, key]
        }
        _ => {
            // A user to be made: its name keeps its case.
            let (user, key) = rest.rsplit_once('_')?;
            let key = match key {
                "PASSWORD" => "password",
                "OPTIONS" => "options",
                _ => return None,
            };
            vec!["bootstrap", "users", user, key]
        }
    };
    Some(Path(parts.into_iter().map(str::to_owned).collect()))
}

fn is_store(section: &str) -> bool {
    DcsKind::ALL.iter().any(|kind| kind.word() == section)
}

/// Sets the leaf at `path`, in place of whatever was there. A list's items are its text's, as
/// everything that reads lists takes a text between commas too.
fn put(node: &mut Node, path: &[String], value: &str) {
    let Some((first, rest)) = path.split_first() else {
        node.value = Node::scalar(node.line, value).value;
        return;
    };
    if !node.is_map() {
        node.value = Value::Map(Vec::new());
    }
    let line = node.line;
    let Value::Map(entries) = &mut node.value else { return };
    let at = entries.iter().rposition(|entry| entry.key == *first).unwrap_or(entries.len());
    if at == entries.len() {
        let node = Node { line, value: Value::Map(Vec::new()) };
        entries.push(Entry { key: first.clone(), node });
    }
    if let Some(entry) = entries.get_mut(at) {
        put(&mut entry.node, rest, value);
    }
}
