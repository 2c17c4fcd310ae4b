//! The leaves of one input: what is to be accounted for.

use std::collections::BTreeMap;

use crate::finding::{Fate, Finding, shown};
use crate::yaml::{Node, Path};

/// A leaf of an input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LeafId {
    pub(crate) source: usize,
    pub(crate) leaf: usize,
}

/// All leaves of one input, in order.
#[derive(Debug)]
pub(crate) struct Leaves {
    source: usize,
    file: String,
    all: Vec<Leaf>,
    /// Leaves by their way; the last one where two are equal.
    by_path: BTreeMap<Path, usize>,
}

#[derive(Debug)]
struct Leaf {
    /// As the finding calls it.
    key: String,
    path: Path,
    line: usize,
    /// From an included file: its name.
    file: Option<String>,
    told: Option<Fate>,
}

impl Leaves {
    pub(super) fn new(source: usize, file: &str) -> Leaves {
        Leaves { source, file: file.to_owned(), all: Vec::new(), by_path: BTreeMap::new() }
    }

    /// Adds one leaf that is called by `key`.
    pub(crate) fn add(&mut self, key: &str, line: usize) -> LeafId {
        self.add_at(&Path(vec![key.to_owned()]), key, line)
    }

    /// Adds one leaf that is found by `path` and called by `key`; `file` is set for one of an
    /// included file. An earlier leaf with the same way does not count any more.
    pub(crate) fn add_of(
        &mut self,
        path: &Path,
        key: &str,
        line: usize,
        file: Option<&str>,
    ) -> LeafId {
        let leaf = self.all.len();
        if let Some(before) = self.by_path.insert(path.clone(), leaf)
            && let Some(before) = self.all.get_mut(before)
        {
            let file = shown(file.unwrap_or(&self.file));
            let why = format!("it stands again, and the last one counts: {file}:{line}");
            before.told = Some(Fate::NotCarried(why));
        }
        let (key, path, file) = (key.to_owned(), path.clone(), file.map(str::to_owned));
        self.all.push(Leaf { key, path, line, file, told: None });
        LeafId { source: self.source, leaf }
    }

    pub(crate) fn add_at(&mut self, path: &Path, key: &str, line: usize) -> LeafId {
        self.add_of(path, key, line, None)
    }

    /// Adds all leaves of a tree, below `root`.
    pub(crate) fn add_tree(&mut self, root: &Path, node: &Node) {
        for leaf in node.leaves() {
            let path = Path(root.0.iter().chain(&leaf.path.0).cloned().collect());
            self.add_at(&path, &path.to_string(), leaf.node.line);
        }
    }

    /// Another way to a leaf, by which it is told of from now on.
    pub(crate) fn alias(&mut self, path: &Path, id: LeafId) {
        self.by_path.insert(path.clone(), id.leaf);
        if let Some(leaf) = self.all.get_mut(id.leaf) {
            leaf.path = path.clone();
        }
    }

    /// Another name for the finding.
    pub(crate) fn call(&mut self, id: LeafId, key: &str) {
        if let Some(leaf) = self.all.get_mut(id.leaf) {
            key.clone_into(&mut leaf.key);
        }
    }

    pub(crate) fn find(&self, path: &Path) -> Option<LeafId> {
        let leaf = *self.by_path.get(path)?;
        Some(LeafId { source: self.source, leaf })
    }

    /// Leaves that nobody has told of, with their ways.
    pub(super) fn untold(&self) -> Vec<(LeafId, Path)> {
        let untold = self.all.iter().enumerate().filter(|(_, leaf)| leaf.told.is_none());
        let id = |leaf| LeafId { source: self.source, leaf };
        untold.map(|(leaf, what)| (id(leaf), what.path.clone())).collect()
    }

    /// The first word counts, but for one thing: what is to be done by hand outweighs what is
    /// not, where a leaf says several things.
    pub(super) fn tell(&mut self, id: LeafId, fate: Fate) {
        let Some(leaf) = self.all.get_mut(id.leaf) else { return };
        match (&leaf.told, &fate) {
            (None, _) | (Some(Fate::Replaced(_)), Fate::NotCarried(_)) => leaf.told = Some(fate),
            _ => {}
        }
    }

    pub(super) fn is_told(&self, id: LeafId) -> bool {
        self.all.get(id.leaf).is_some_and(|leaf| leaf.told.is_some())
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn place(&self, id: LeafId) -> String {
        self.all.get(id.leaf).map_or_else(String::new, |leaf| {
            format!("{}:{}", leaf.file.as_ref().unwrap_or(&self.file), leaf.line)
        })
    }

    pub(super) fn findings<'l>(
        &'l self,
        fate: &'l dyn Fn(LeafId, Option<&Fate>) -> Fate,
    ) -> impl Iterator<Item = Finding> + 'l {
        self.all.iter().enumerate().map(move |(place, leaf)| {
            let id = LeafId { source: self.source, leaf: place };
            Finding {
                file: leaf.file.clone().unwrap_or_else(|| self.file.clone()),
                line: leaf.line,
                key: leaf.key.clone(),
                fate: fate(id, leaf.told.as_ref()),
            }
        })
    }
}
