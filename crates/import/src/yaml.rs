//! YAML as a tree that remembers its lines and how each scalar was written.
//!
//! Not by serde: whoever wrote the file meant YAML 1.1 (Patroni reads it with PyYAML, Kubernetes
//! nearly so), where `on` is a truth value and `010` is eight; and each finding names a line. So
//! scalars stay text here, and whoever asks says what they should be.

mod build;

use std::fmt;

/// Levels of a document. Deeper ones come from nobody's hand.
pub const DEPTH_MAX: usize = 64;
/// Nodes of one text, those that aliases repeat included: ten lines may stand for billions.
pub const NODES_MAX: usize = 100_000;

/// The text is not YAML, or too much of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadYaml {
    /// Counted from 1.
    pub line: usize,
    pub what: String,
}

/// A value with its line, counted from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A scalar as it was written, without quotes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scalar {
    pub text: String,
    /// Neither quoted nor a block: it may be a number, a truth value or nothing.
    pub plain: bool,
}

/// One key of a mapping. A key may stand twice: the last one counts, as in PyYAML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub key: String,
    pub node: Node,
}

/// One scalar, or a list or mapping without anything in it, with the way that leads there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf<'n> {
    pub path: Path,
    pub node: &'n Node,
}

/// The way to a node: keys, and places in lists counted from 0.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Path(pub Vec<String>);

/// The documents of `text`, in order; a document without content is left out.
pub fn documents(text: &str) -> Result<Vec<Node>, BadYaml> {
    build::documents(text)
}

/// The only document of `text`, or the first: nothing when there is none.
pub fn document(text: &str) -> Result<Option<Node>, BadYaml> {
    Ok(documents(text)?.into_iter().next())
}

impl Node {
    pub fn scalar(line: usize, text: impl Into<String>) -> Node {
        Node { line, value: Value::Scalar(Scalar { text: text.into(), plain: false }) }
    }

    /// The value of `key`, the last one where it stands twice.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().rev().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The node at the end of these keys.
    pub fn at(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// A mapping's entries; none when it is something else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A list's items; none when it is something else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// Nothing: an empty value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// The scalar's text; nothing for `null` and for what is no scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if !scalar.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    /// A truth value as YAML 1.1 and Patroni's `parse_bool` read it, quoted or not.
    pub fn truth(&self) -> Option<bool> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Some(true),
            "off" | "false" | "no" | "0" => Some(false),
            _ => None,
        }
    }

    /// A whole decimal number, quoted or not.
    pub fn number(&self) -> Option<i64> {
        self.text()?.trim().replace('_', "").parse().ok()
    }

    /// All texts of a list of scalars; one text where a scalar stands for a list of one.
    pub fn texts(&self) -> Vec<&str> {
        match &self.value {
            Value::List(items) => items.iter().filter_map(Node::text).collect(),
            _ => self.text().into_iter().collect(),
        }
    }

    /// Every leaf below this node, in the order of the text.
    pub fn leaves(&self) -> Vec<Leaf<'_>> {
        let mut leaves = Vec::new();
        self.collect(&Path::default(), &mut leaves);
        leaves
    }

    fn collect<'n>(&'n self, path: &Path, leaves: &mut Vec<Leaf<'n>>) {
        match &self.value {
            Value::Map(entries) if !entries.is_empty() => {
                for entry in entries {
                    entry.node.collect(&path.join(&entry.key), leaves);
                }
            }
            Value::List(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    item.collect(&path.join(&index.to_string()), leaves);
                }
            }
            _ => leaves.push(Leaf { path: path.clone(), node: self }),
        }
    }
}

impl Scalar {
    fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

impl Path {
    pub fn join(&self, part: &str) -> Path {
        Path(self.0.iter().map(String::as_str).chain([part]).map(str::to_owned).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

#[cfg(test)]
mod tests;
