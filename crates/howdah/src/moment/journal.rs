//! What is written down of a cluster that is taken to a moment: ahead of each step, so that a command that
//! was killed leaves a word on what to do next, and is finished by the next one.
//!
//! ```text
//! (nothing) ─► switching ─► kept ─► going ─► (nothing)
//!                 ▲           │ --confirm
//!                 └───────────┘ --undo
//! ```
//! Restoring beside is no step: until the switch-over begins, nothing of the cluster has been touched.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use howdah_base::{DirectoryId, NodeName, Position};
use howdah_postgres::write_durably;
use howdah_spec::{ClusterSpec, NodeSpec};
use serde::{Deserialize, Serialize};

/// How far it is. Written before what it names is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The nodes are held, and directories change their places.
    Switching,
    /// The cluster serves from the new directory, and the old one is kept.
    Kept,
    /// The old one is being removed.
    Going,
}

/// One switch-over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Journal {
    pub phase: Phase,
    /// What the cluster becomes, in words: `as it was at …`.
    pub what: String,
    /// The node that led, and leads again.
    pub node: NodeName,
    /// Its directory that goes: identity, and where it is kept.
    pub old: DirectoryId,
    pub aside: PathBuf,
    /// What that is, in words: `as it was until …`.
    pub kept: String,
    /// The one that comes: identity, where it lies beforehand, and where its timeline began.
    pub new: DirectoryId,
    pub beside: PathBuf,
    pub begins: Position,
    /// What was kept before this switch-over began; that of an undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Journal>>,
}

const FILE: &str = "moment.json";
const LOCK: &str = "moment.lock";

impl Journal {
    /// The one of this cluster. It lies with its first node, but that may have left since.
    pub fn read(spec: &ClusterSpec) -> anyhow::Result<Option<Journal>> {
        for node in spec.nodes.values() {
            let path = node.state_dir.join(FILE);
            match fs::read_to_string(&path) {
                Ok(text) => {
                    let journal = serde_json::from_str(&text);
                    return journal.map(Some).with_context(|| format!("read `{}`", path.display()));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("read `{}`", path.display()));
                }
            }
        }
        Ok(None)
    }

    /// Durably.
    pub fn write(&self, spec: &ClusterSpec) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("write down what is done")?;
        let there = spec.nodes.values().map(|node| node.state_dir.join(FILE));
        let path = there.clone().find(|path| path.exists()).or_else(|| {
            let mut all = spec.nodes.values();
            all.find(|node| node.state_dir.is_dir()).map(|node| node.state_dir.join(FILE))
        });
        let path = path.context("no node of this cluster has a folder here")?;
        Ok(write_durably(&path, &text)?)
    }

    /// There is nothing to go back to any more.
    pub fn forget(spec: &ClusterSpec) -> anyhow::Result<()> {
        spec.nodes.values().try_for_each(|node| remove(&node.state_dir.join(FILE)))
    }
}

/// Where whoever takes the cluster to a moment keeps others from it.
pub fn lock(spec: &ClusterSpec) -> Option<PathBuf> {
    let mut all = spec.nodes.values();
    all.find(|node| node.state_dir.is_dir()).map(|node| node.state_dir.join(LOCK))
}

/// Durably, if it is there.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("remove: `{}`", path.display())),
    }
}

/// What was renamed or removed in its folder stays so after a power failure.
pub fn sync_parent(path: &Path) -> anyhow::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let synced = fs::File::open(parent).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("fsync: `{}`", parent.display()))
}

/// Beside a node's data directory: `<data_dir>.<word>`.
pub fn beside(node: &NodeSpec, word: &str) -> PathBuf {
    let mut name = node.data_dir.clone().into_os_string();
    name.push(format!(".{word}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_with_what_was_kept_before() {
        let journal = |phase, before| Journal {
            phase,
            what: "as it was at time=x".to_owned(),
            node: "n1".parse().expect("a name"),
            old: "n1_0a".parse().expect("an id"),
            aside: "/base/data.before-x".into(),
            kept: "as it was until then".to_owned(),
            new: "n1_0b".parse().expect("an id"),
            beside: "/base/data.restoring".into(),
            begins: Position { timeline: howdah_base::Timeline(5), lsn: howdah_base::Lsn(7) },
            before,
        };
        let first = journal(Phase::Kept, None);
        let undo = journal(Phase::Switching, Some(Box::new(first)));
        let text = serde_json::to_string(&undo).expect("written");
        assert_eq!(serde_json::from_str::<Journal>(&text).expect("read"), undo);
        assert!(
            text.contains("\"phase\":\"switching\"") && text.contains("\"lsn\":\"0/7\""),
            "{text}"
        );
    }
}
