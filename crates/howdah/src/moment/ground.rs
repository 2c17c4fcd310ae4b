//! The cluster that is taken to a moment: its file, the way to its record, and whether that allows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use howdah_api::when;
use howdah_base::{NodeName, Timeline};
use howdah_postgres::directory;
use howdah_repo::Lineage;
use howdah_spec::{ClusterSpec, NodeSpec};
use howdah_store::{Store, Txn, TxnOutcome};
use tokio::time::{sleep, timeout};

use super::beside::Ready;
use super::journal::{Journal, Phase};
use super::record::Seen;
use crate::failure::Failure;
use crate::file::ClusterFile;
use crate::prepare::lock::Lock;
use crate::prepare::{Layout, Prepared, account, here, layout};
use crate::store;

/// The cluster, and the way to its record.
pub struct Ground {
    pub file: ClusterFile,
    pub prepared: Prepared,
    /// The same cluster, with the nodes of this machine only: these end, are held, and come again.
    pub here: ClusterSpec,
    pub store: Arc<dyn Store>,
    /// Which one leads, or led last.
    pub node: NodeName,
}

const STORE_WITHIN: Duration = Duration::from_secs(20);
/// A store that changes its own leader answers again within this.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);
const AGAIN_AFTER: Duration = Duration::from_millis(200);
const TRIES_MAX: u32 = 5;

impl Ground {
    pub async fn open(file: ClusterFile, written: Option<&Journal>) -> anyhow::Result<Ground> {
        let layout = Layout::new(&file.spec.base_dir);
        let server = account::server_account(&file.spec.run_as)?;
        let (spec, text) = (file.spec.clone(), file.text.clone());
        let here = nodes_here(&spec);
        let prepared = Prepared { spec, text, layout, server };
        // With the certificate of one whose key lies here.
        let members = file.spec.store_members().into_iter().filter(|n| here.nodes.contains_key(n));
        let any = members.chain(here.nodes.keys()).next();
        let any = any.context("the cluster file has no nodes")?.clone();
        let unreachable = |why: String| {
            Failure::failed(format!("the cluster's store is not reached: {why}"))
                .hint("howdah up, unless it is running; nothing was touched")
        };
        let opened = timeout(STORE_WITHIN, store::open(&prepared, &any)).await;
        let opened = opened.map_err(|_| unreachable("no answer".to_owned()))?;
        let store = opened.map_err(|error| unreachable(format!("{error:#}")))?;
        let mut ground = Ground { file, prepared, here, store, node: any };
        let seen = ground.seen().await.map_err(|error| unreachable(format!("{error:#}")))?;
        ground.node = match written.filter(|journal| journal.phase == Phase::Switching) {
            Some(journal) => journal.node.clone(),
            None => seen.node().clone(),
        };
        let known = ground.prepared.spec.nodes.contains_key(&ground.node);
        anyhow::ensure!(known, "the cluster file has no node `{}`, which leads", ground.node);
        Ok(ground)
    }

    /// Nodes of other machines go on meanwhile.
    pub fn has_others(&self) -> bool {
        self.here.nodes.len() < self.prepared.spec.nodes.len()
    }

    pub fn own(&self) -> &NodeSpec {
        &self.prepared.spec.nodes[&self.node]
    }

    pub async fn seen(&self) -> anyhow::Result<Seen> {
        let seen = Seen::of(&self.store.snapshot().await?)?;
        seen.context("the store has no record of a cluster yet")
    }

    /// Whether the record allows it.
    pub fn check(&self, seen: &Seen) -> anyhow::Result<()> {
        let typed = &self.file.typed;
        let refused = |what: String, hint: String| Err(Failure::refused(what).hint(hint).into());
        if let Some((pause, _)) = &seen.pause {
            let what = format!("the cluster is paused, by {}", pause.by);
            return refused(what, format!("howdah resume{typed}"));
        }
        if seen.fenced.contains(self.node.as_str()) {
            let hint = format!("howdah unfence {}{typed}", self.node);
            return refused(format!("{} is fenced", self.node), hint);
        }
        let runs = self.here.nodes.values().any(|own| Lock::is_held(&layout::node_lock(own)));
        let leads = seen.leader.as_ref().map(|(leader, _)| &leader.node);
        if leads.is_some() && !Lock::is_held(&layout::node_lock(self.own())) {
            let what = format!("{} leads, and does not run on this machine", self.node);
            return refused(what, format!("howdah status{typed}; run it where that node runs"));
        }
        if leads.is_none() && (runs || self.has_others()) || leads.is_some_and(|n| *n != self.node)
        {
            let hint = format!("howdah explain{typed}; then again");
            return refused("the cluster has no leader at present".to_owned(), hint);
        }
        let file = directory::read_file(&self.own().data_dir)?;
        if file.is_none_or(|file| file.id != seen.sync.0.directory) {
            let what = format!(
                "the data directory of {} is not the one that the record names: `{}`",
                self.node,
                self.own().data_dir.display()
            );
            return refused(what, format!("howdah status{typed}"));
        }
        Ok(())
    }

    /// The node that leads is of this machine: its directories are exchanged here.
    pub fn check_here(&self) -> anyhow::Result<()> {
        if self.here.nodes.contains_key(&self.node) {
            return Ok(());
        }
        let (node, typed) = (&self.node, &self.file.typed);
        let host = &self.prepared.spec.nodes[node].host;
        let here = self.here.nodes.keys().next().map(NodeName::as_str).unwrap_or_default();
        let hint = format!("run it there, or first: howdah switchover --to {here}{typed}");
        let what = format!("{node} leads, on another machine (`{host}`): data is exchanged there");
        Err(Failure::refused(what).hint(hint).into())
    }

    /// Pauses the cluster: the leader ends, and comes again, and nobody of another machine is to take over
    /// meanwhile, however long it takes.
    pub async fn hush(&self, journal: &Journal) -> anyhow::Result<()> {
        self.write(|seen| {
            let txn = seen.hushed(journal, when::now_unix_ms());
            txn.map_err(|why| Failure::refused(why).hint("howdah resume; then again").into())
        })
        .await
    }

    /// Ends that pause, if it stands.
    pub async fn resume(&self, journal: &Journal) -> anyhow::Result<()> {
        self.write(|seen| Ok(seen.resumed(journal))).await
    }

    /// Until the record is as `change` wants it, which says `None` then. A store that does not answer is
    /// asked again for a while: by then nodes may be held.
    pub async fn write(
        &self,
        change: impl Fn(&Seen) -> anyhow::Result<Option<Txn>>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let tried = match self.seen().await {
                Ok(seen) => {
                    let Some(txn) = change(&seen)? else { return Ok(()) };
                    self.store.txn(txn).await.map_err(anyhow::Error::from)
                }
                Err(error) => Err(error),
            };
            // An answer that was lost is found out by the next look.
            match tried {
                Ok(TxnOutcome::Applied { .. }) => return Ok(()),
                Err(error) if begun.elapsed() > WRITTEN_WITHIN => return Err(error),
                Ok(_) if begun.elapsed() > WRITTEN_WITHIN => {
                    anyhow::bail!("the store's record changes all the time")
                }
                _ => sleep(AGAIN_AFTER).await,
            }
        }
    }

    /// A number for a timeline, which nobody else gets.
    pub async fn reserve(&self, lineage: &Lineage, places: &[&Path]) -> anyhow::Result<Timeline> {
        let mut there = lineage.timelines().await?;
        for place in places.iter().copied().chain([self.own().data_dir.as_path()]) {
            there.extend(timelines(place)?);
        }
        for _ in 0..TRIES_MAX {
            let (next, txn) = self.seen().await?.reserve(there.iter().copied());
            if let TxnOutcome::Applied { .. } = self.store.txn(txn).await? {
                return Ok(next);
            }
        }
        anyhow::bail!("the store does not give a timeline: its record changes all the time")
    }

    pub fn journal(
        &self,
        what: String,
        ready: Ready,
        aside: PathBuf,
        beside: PathBuf,
    ) -> anyhow::Result<Journal> {
        let file = directory::read_file(&self.own().data_dir)?;
        let old = file.context("find the identity of the data directory")?.id;
        let (phase, node, before) = (Phase::Switching, self.node.clone(), None);
        let (new, begins) = (ready.id, ready.begins);
        let now = when::rfc3339(when::now_unix_ms() / 1000 * 1000);
        let kept = format!("as it was until {now}");
        Ok(Journal { phase, what, node, old, aside, kept, new, beside, begins, before })
    }
}

/// The cluster with the nodes of this machine only.
pub fn nodes_here(spec: &ClusterSpec) -> ClusterSpec {
    let nodes = here::here(spec, &Layout::new(&spec.base_dir));
    ClusterSpec { nodes, ..spec.clone() }
}

/// Of WAL and histories that lie in a data directory.
pub fn timelines(data_dir: &Path) -> anyhow::Result<Vec<Timeline>> {
    let folder = data_dir.join("pg_wal");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list `{}`", folder.display()))? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| u32::from_str_radix(name.get(..8)?, 16).ok());
        found.extend(number.map(Timeline));
    }
    Ok(found)
}
