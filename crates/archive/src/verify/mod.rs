//! Whether what the repository holds is what was written: without a server, and without the lease.
//!
//! ```text
//! names, sizes ─► indexes ─► files: maps, pages, hashes ─► frames that no file led to ─► WAL
//! ```
//! Every fault names the object, and what it means for which backup. What is not answered by the
//! storage is trouble and no fault: it ends the verification.

mod error;
mod faults;
mod files;
mod packs;
mod pick;
mod wal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use howdah_repo::manifest::{Manifest, PackId};
use howdah_repo::name::Label;
use howdah_repo::{Lineage, RepoError};
use tokio::runtime::Handle;
use tokio::sync::watch;

pub use error::VerifyError;
pub use faults::FAULTS_MAX;

use crate::packs::OpenPacks;
use crate::proof::{Counts, Missing, Verified, missing};
use crate::stop::Stop;
use faults::Faults;
use pick::Pick;

/// Which backups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    Newest,
    Of(Label),
    All,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    pub which: Which,
    /// Of frames and of WAL; 100 opens everything and puts whole files together.
    pub percent: f64,
    /// Chooses among them.
    pub seed: u64,
    /// Threads; each holds a few tens of megabytes.
    pub jobs: usize,
}

/// How far it is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    pub label: String,
    pub counts: Counts,
}

/// What all parts share.
struct Work {
    lineage: Lineage,
    manifest: Manifest,
    packs: OpenPacks,
    /// Objects of backups and their sizes, as listed.
    there: Arc<BTreeMap<String, u64>>,
    pick: Pick,
    faults: Faults,
    handle: Handle,
    stop: Stop,
    told: watch::Sender<Progress>,
}

/// Verifies; of each backup what was found, in the order of labels. Dropping the future gives it up.
pub async fn verify(
    lineage: &Lineage,
    options: &Options,
    told: &watch::Sender<Progress>,
) -> Result<Vec<(Label, Verified)>, VerifyError> {
    let stop = Stop::default();
    let _given_up = stop.on_drop();
    let missed = missing(lineage).await?;
    let labels = choose(lineage, &options.which, &missed).await?;
    let there = Arc::new(listed(lineage).await?);
    let pick = Pick::new(options.percent, options.seed);
    // Packs that several backups share are read once; what was amiss is told of each.
    let mut seen: BTreeMap<PackId, packs::Seen> = BTreeMap::new();
    let mut wal = wal::Opened::default();
    let mut found = Vec::new();
    for label in labels {
        let begun = Instant::now();
        told.send_replace(Progress { label: label.to_string(), ..Progress::default() });
        let faults = Faults::of(&label);
        let manifest = match lineage.get_manifest(&label).await {
            Ok(manifest) => manifest,
            Err(RepoError::Absent { .. }) if is_expired(&label, options, &missed) => continue,
            Err(error) => {
                faults.manifest(error)?;
                found.push((label, verdict(&faults, options, Counts::default(), begun)));
                continue;
            }
        };
        let work = Arc::new(Work {
            lineage: lineage.clone(),
            packs: OpenPacks::new(lineage, &manifest.packs),
            manifest,
            there: Arc::clone(&there),
            pick,
            faults,
            handle: Handle::current(),
            stop: stop.clone(),
            told: told.clone(),
        });
        let marks = files::verify(&work, options.jobs).await?;
        packs::verify(&work, options.jobs, marks, &mut seen).await?;
        wal::verify(&work, options.jobs, &mut wal).await?;
        if is_gone(lineage, &label).await? {
            continue;
        }
        let counts = told.borrow().counts;
        found.push((label, verdict(&work.faults, options, counts, begun)));
    }
    Ok(found)
}

/// Whether it went while others were looked at: one that is missed was gone before.
fn is_expired(label: &Label, options: &Options, missed: &[Missing]) -> bool {
    options.which == Which::All && missed.iter().all(|missed| missed.label != *label)
}

/// A backup that expired while it was looked at has no faults: nobody restores it.
async fn is_gone(lineage: &Lineage, label: &Label) -> Result<bool, RepoError> {
    Ok(!lineage.has_backup(label).await?)
}

fn verdict(faults: &Faults, options: &Options, counts: Counts, begun: Instant) -> Verified {
    let (faults, faults_total) = faults.take();
    Verified {
        passed: faults.is_empty(),
        percent: options.percent,
        took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        counts,
        faults,
        faults_total,
    }
}

async fn choose(
    lineage: &Lineage,
    which: &Which,
    missed: &[Missing],
) -> Result<Vec<Label>, VerifyError> {
    let mut labels = lineage.backups().await?;
    if *which != Which::Newest {
        labels.extend(missed.iter().map(|missed| missed.label.clone()));
        labels.sort_unstable();
    }
    match which {
        Which::All if !labels.is_empty() => Ok(labels),
        Which::Of(label) if labels.contains(label) => Ok(vec![label.clone()]),
        Which::Of(label) => Err(VerifyError::Unknown(label.to_string())),
        Which::Newest => {
            let at = |missed: &Missing| (missed.committed_ms, missed.label.clone());
            let mut newest = missed.iter().map(at).max();
            for label in labels {
                let stopped = match lineage.about_backup(&label).await {
                    Ok(about) => about.stopped_ms,
                    Err(RepoError::Absent { .. }) => continue,
                    // Nobody knows when it was made: it is looked at, and told.
                    Err(RepoError::Damaged { .. }) => i64::MAX,
                    Err(error) => return Err(error.into()),
                };
                newest = newest.max(Some((stopped, label)));
            }
            newest.map(|(_, label)| vec![label]).ok_or(VerifyError::NoBackup)
        }
        Which::All => Err(VerifyError::NoBackup),
    }
}

async fn listed(lineage: &Lineage) -> Result<BTreeMap<String, u64>, RepoError> {
    let listed = lineage.repository().storage().list(&lineage.id().backups(), None).await?;
    Ok(listed.into_iter().map(|object| (object.name, object.size)).collect())
}

impl Work {
    fn name_of(&self, id: &PackId) -> String {
        self.lineage.id().pack(&id.label, id.family, id.number).to_string()
    }

    fn tell(&self, add: impl FnOnce(&mut Counts)) {
        self.told.send_modify(|progress| add(&mut progress.counts));
    }
}

/// Frames of each pack that were opened and were what they should be.
#[derive(Debug, Default)]
struct Marks(BTreeMap<PackId, BTreeSet<u32>>);
