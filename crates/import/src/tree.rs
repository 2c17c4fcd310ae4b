//! One YAML document of an input, seen together with the draft: claim a leaf or tell of it.

use crate::draft::{Claim, Draft, Key, LeafId, Rank, Value};
use crate::finding::Fate;
use crate::yaml::{Node, Path};

/// A document, or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Tree<'n> {
    pub(crate) source: usize,
    /// The way from the input's root.
    pub(crate) root: Path,
    pub(crate) node: &'n Node,
}

impl<'n> Tree<'n> {
    /// The part at `keys`.
    pub(crate) fn at(&self, keys: &[&str]) -> Option<Tree<'n>> {
        let node = self.node.at(keys)?;
        Some(Tree { source: self.source, root: self.path(keys), node })
    }

    /// Each entry of a mapping with its name.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'n str, Tree<'n>)> {
        let (source, root) = (self.source, self.root.clone());
        self.node.entries().iter().map(move |entry| {
            let root = root.join(&entry.key);
            (entry.key.as_str(), Tree { source, root, node: &entry.node })
        })
    }

    /// Each item of a list.
    pub(crate) fn items(&self) -> impl Iterator<Item = Tree<'n>> {
        let (source, root) = (self.source, self.root.clone());
        self.node.items().iter().enumerate().map(move |(place, node)| Tree {
            source,
            root: root.join(&place.to_string()),
            node,
        })
    }

    pub(crate) fn text(&self, keys: &[&str]) -> Option<&'n str> {
        self.node.at(keys)?.text()
    }

    /// This node, if it is a leaf.
    pub(crate) fn leaf(&self, draft: &mut Draft) -> Option<LeafId> {
        draft.leaves(self.source).find(&self.root)
    }

    /// All leaves of this part.
    pub(crate) fn leaves(&self, draft: &mut Draft) -> Vec<LeafId> {
        let paths = self
            .node
            .leaves()
            .into_iter()
            .map(|leaf| Path(self.root.0.iter().chain(&leaf.path.0).cloned().collect()));
        let paths: Vec<Path> = paths.collect();
        paths.iter().filter_map(|path| draft.leaves(self.source).find(path)).collect()
    }

    /// Every leaf of this part wants `value` for `key`.
    pub(crate) fn claim(&self, draft: &mut Draft, key: &Key, value: &Value, rank: Rank) {
        for leaf in self.leaves(draft) {
            draft.claim(Claim::new(key.clone(), value.clone(), leaf, rank));
        }
    }

    /// As [`Tree::claim`], with something to be known about it.
    pub(crate) fn claim_noted(
        &self,
        draft: &mut Draft,
        key: &Key,
        value: &Value,
        rank: Rank,
        note: &str,
    ) {
        for leaf in self.leaves(draft) {
            draft.claim(Claim::new(key.clone(), value.clone(), leaf, rank).noted(note));
        }
    }

    /// Says the same of every leaf of this part.
    pub(crate) fn tell(&self, draft: &mut Draft, fate: &Fate) {
        for leaf in self.leaves(draft) {
            draft.tell(leaf, fate.clone());
        }
    }

    fn path(&self, keys: &[&str]) -> Path {
        keys.iter().fold(self.root.clone(), |path, key| path.join(key))
    }
}
