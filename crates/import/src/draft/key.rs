//! A key of the cluster file.

use std::fmt;

/// A dotted path, as its parts: names that operators chose may hold dots.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key(Vec<String>);

impl Key {
    pub(crate) fn of(parts: &[&str]) -> Key {
        Key(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    /// A server parameter.
    pub(crate) fn parameter(name: &str) -> Key {
        Key::of(&["postgresql", "parameters", name])
    }

    pub(crate) fn parts(&self) -> &[String] {
        &self.0
    }

    /// The table that it stands in.
    pub(crate) fn table(&self) -> &[String] {
        self.0.split_last().map(|(_, table)| table).unwrap_or_default()
    }

    pub(crate) fn last(&self) -> &str {
        self.0.last().map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn is_rule(&self) -> bool {
        self.0.len() == 1 && self.last() == "hba"
    }

    /// The same key with the node's name that stands for `*`.
    pub(crate) fn with_node(&self, name: &str) -> Key {
        let mut parts = self.0.clone();
        if self.is_of_any_node()
            && let Some(part) = parts.get_mut(1)
        {
            name.clone_into(part);
        }
        Key(parts)
    }

    /// A key of the one node that there is, whatever its name.
    pub(crate) fn is_of_any_node(&self) -> bool {
        self.0.first().is_some_and(|first| first == "nodes")
            && self.0.get(1).is_some_and(|name| name == ANY_NODE)
    }
}

/// Stands for the name of the one node, where an input does not name its own.
pub(crate) const ANY_NODE: &str = "*";

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|part| super::value::bare(part)).collect();
        f.write_str(&parts.join("."))
    }
}
