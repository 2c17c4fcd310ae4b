//! A directory that was restored becomes the beginning of a cluster: it recovers by itself, out of
//! everybody's reach, is shut down as planned, and is marked as a node's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use howdah_api::when;
use howdah_archive::restore::write::{forget_recovery, unmark};
use howdah_base::{History, NodeName, Timeline};
use howdah_postgres::directory::{self, DirectoryFile};
use howdah_postgres::install::Install;
use howdah_postgres::recovering::{Place, Recovering};
use howdah_repo::{Fork, Lineage};
use howdah_spec::NodeSpec;

use crate::admit;
use crate::adopt::take::identity;
use crate::archive::open::{self, Owner};
use crate::archive::owner;
use crate::facts;
use crate::failure::Failure;
use crate::file::ClusterFile;
use crate::prepare::lock::Lock;
use crate::prepare::{Layout, layout};
use crate::talk::say;

/// Whose beginning it becomes.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'a> {
    /// The new cluster's, prepared.
    pub file: &'a ClusterFile,
    pub node: &'a NodeName,
    pub data_dir: &'a Path,
    /// The other one goes on to live: this one must not have its ties.
    pub clone: bool,
}

/// # Errors
/// The node runs; nothing may be touched.
pub fn check_still(file: &ClusterFile, data_dir: &Path) -> anyhow::Result<()> {
    for (name, node) in owners(file, data_dir) {
        if Lock::is_held(&layout::node_lock(node)) {
            return Err(runs(name, data_dir));
        }
    }
    Ok(())
}

/// The same until the locks are dropped: no node starts in its directory meanwhile. As the servers'
/// user, whose files these are.
pub fn hold(file: &ClusterFile, data_dir: &Path) -> anyhow::Result<Vec<Lock>> {
    // A node without a folder for its state has never been prepared here. Nodes of several machines may
    // have theirs at one path.
    let owners = owners(file, data_dir).filter(|(_, node)| node.state_dir.is_dir());
    let locks: BTreeMap<PathBuf, &NodeName> =
        owners.map(|(name, node)| (layout::node_lock(node), name)).collect();
    let taken = locks.iter().map(|(path, name)| match Lock::take(path)? {
        Some(lock) => Ok(lock),
        None => Err(runs(name, data_dir)),
    });
    taken.collect()
}

/// The nodes whose directory it is, by whatever path.
fn owners<'f>(
    file: &'f ClusterFile,
    data_dir: &Path,
) -> impl Iterator<Item = (&'f NodeName, &'f NodeSpec)> {
    let place = resolved(data_dir);
    file.spec.nodes.iter().filter(move |(_, node)| resolved(&node.data_dir) == place)
}

/// Without links, also where the end of the path is not there yet.
fn resolved(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, whole)) = there else { return path.to_owned() };
    match path.strip_prefix(above) {
        Ok(rest) if rest.as_os_str().is_empty() => whole,
        Ok(rest) => whole.join(rest),
        Err(_) => whole,
    }
}

fn runs(node: &NodeName, data_dir: &Path) -> anyhow::Error {
    let what = format!("it is node {node}'s, which runs: `{}`", data_dir.display());
    Failure::refused(what).hint("howdah down, or stop its service").into()
}

/// Lets it recover, and marks it.
pub async fn begin(to: &Beginning<'_>, origin: &Lineage) -> anyhow::Result<()> {
    let own = &to.file.spec.nodes[to.node];
    let install = facts::install(&to.file.spec, to.data_dir)?;
    let log = layout::log_dir(own).join("recovery.log");
    let socket_dir = own.state_dir.join("run");
    let place = Place { data_dir: to.data_dir, socket_dir: &socket_dir, log: &log, settings: &[] };
    let Recovered { timeline, history } = recover(&install, &place, to.clone).await?;
    forget_recovery(to.data_dir, to.clone)?;
    let last = history.forks.last().context("find where its timeline began")?;
    let fork = Fork { lineage: origin.id().to_string(), timeline: last.0, lsn: last.1 };
    say(format!("howdah: it has recovered up to {} and goes on on timeline {timeline}", fork.lsn));
    begin_lineage(to.file, origin, fork).await?;
    let file =
        DirectoryFile { id: identity(to.node)?, node: to.node.clone(), fresh: true, adopted: true };
    directory::write_file(to.data_dir, &file)?;
    Ok(unmark(to.data_dir)?)
}

/// Where a directory stands that has recovered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// The one that it has begun.
    pub timeline: Timeline,
    pub history: History,
}

/// Lets it recover and take a timeline of its own, and shuts it down as planned. `apart`: without
/// subscriptions to what another one takes.
pub async fn recover(
    install: &Install,
    place: &Place<'_>,
    apart: bool,
) -> anyhow::Result<Recovered> {
    say(format!("howdah: the server recovers; its log is `{}`", place.log.display()));
    let mut server = Recovering::start(install, place)?;
    let session = server.recovered(|line| say(format!("howdah: {line}"))).await?;
    if apart {
        match session.disable_subscriptions().await? {
            0 => {}
            count => say(format!("howdah: {count} subscriptions are disabled in the clone")),
        }
    }
    session.checkpoint().await?;
    let timeline = session.probe().await?.timeline;
    let history = session.history(timeline).await?;
    drop(session);
    server.stop().await?;
    Ok(Recovered { timeline, history })
}

/// The lineage of the new cluster, in its own repository: it never writes into its origin's.
async fn begin_lineage(file: &ClusterFile, origin: &Lineage, parent: Fork) -> anyhow::Result<()> {
    let Some(backup) = &file.spec.backup else { return Ok(()) };
    let layout = Layout::new(&file.spec.base_dir);
    let identity = admit::identity_at(&layout.ca())?;
    let about = origin.about().await?;
    let owner = Owner {
        cluster: owner(&file.spec, &identity),
        system_identifier: about.system_identifier,
        segment_bytes: about.segment_bytes,
    };
    let now = i64::try_from(when::now_unix_ms()).unwrap_or(i64::MAX);
    let repository = open::open_or_make(backup, &layout.client_secrets(), now).await?;
    let lineage = open::lineage_from(&repository, &owner, Some(parent), now).await?;
    anyhow::ensure!(
        (lineage.id(), repository.id()) != (origin.id(), origin.repository().id()),
        "the new cluster has the identity of the old one"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_the_same_by_any_path() {
        let root = std::env::temp_dir().join(format!("howdah-alone-{}", std::process::id()));
        std::fs::create_dir_all(root.join("real/node")).expect("made");
        let root = root.canonicalize().expect("there");
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).expect("linked");
        assert_eq!(resolved(&root.join("link/node")), root.join("real/node"));
        assert_eq!(resolved(&root.join("link/not/there")), root.join("real/not/there"));
        assert_ne!(resolved(&root.join("link")), resolved(&root.join("link/node")));
        std::fs::remove_dir_all(&root).expect("removed");
    }
}
