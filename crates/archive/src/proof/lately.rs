//! What was found lately of a lineage, whoever looked: by hand, or by the schedule.

use std::collections::BTreeMap;

use howdah_repo::name::Label;
use howdah_repo::{Lineage, RepoError};

use super::keep::{READ_MAX, read};
use super::missing::{Missing, was_committed};
use super::{Drilled, Found, Proof, Verified};

/// Read little by little: a proof does not change.
#[derive(Clone, Default, Debug)]
pub struct Lately {
    /// By label: the newest proof that was read.
    read: BTreeMap<String, u32>,
    drill: Option<(Label, Proof)>,
    /// By label: the newest verification.
    verified: BTreeMap<Label, Proof>,
    /// Whether a backup was committed; looked at only where it has no manifest.
    committed: BTreeMap<Label, Option<i64>>,
    missing: Vec<Missing>,
}

/// Backups whose proofs are looked at, from the newest on.
const BACKUPS_MAX: usize = 16;

impl Lately {
    /// Reads what has come since the last time.
    pub async fn read(&mut self, lineage: &Lineage) -> Result<(), RepoError> {
        // Proofs before backups, see `super::missing`.
        let all = lineage.all_proofs().await?;
        for (label, numbers) in all.iter().rev().take(BACKUPS_MAX) {
            self.read_of(lineage, label, numbers).await?;
        }
        self.read.retain(|label, _| all.keys().any(|known| known.as_str() == label));
        self.verified.retain(|label, _| all.contains_key(label));
        self.committed.retain(|label, _| all.contains_key(label));
        self.missing.clear();
        let there = lineage.backups().await?;
        for (label, numbers) in all.iter().filter(|(label, _)| !there.contains(label)) {
            let known = self.committed.get(label).copied();
            let committed = match known {
                Some(known) => known,
                None => was_committed(lineage, label, numbers).await?,
            };
            self.committed.insert(label.clone(), committed);
            let missing = |committed_ms| Missing { label: label.clone(), committed_ms };
            self.missing.extend(committed.map(missing));
        }
        Ok(())
    }

    async fn read_of(
        &mut self,
        lineage: &Lineage,
        label: &Label,
        numbers: &[u32],
    ) -> Result<(), RepoError> {
        let read_to = self.read.get(label.as_str()).copied();
        let fresh = numbers.iter().rev().filter(|number| read_to < Some(**number));
        let (mut has_drill, mut has_verified) = (false, false);
        for number in fresh.take(READ_MAX) {
            let Some(proof) = read(lineage, label, *number).await? else { continue };
            match proof.found {
                Found::Drilled(_) if !has_drill => {
                    has_drill = true;
                    if self.drill.as_ref().is_none_or(|(_, last)| last.at_ms < proof.at_ms) {
                        self.drill = Some((label.clone(), proof));
                    }
                }
                Found::Verified(_) if !has_verified => {
                    has_verified = true;
                    self.verified.insert(label.clone(), proof);
                }
                _ => {}
            }
            if has_drill && has_verified {
                break;
            }
        }
        let newest = numbers.last().copied().unwrap_or_default();
        self.read.insert(label.as_str().to_owned(), newest);
        Ok(())
    }

    /// The last drill: of which backup, when and by whom, and what it found.
    pub fn drill(&self) -> Option<(&Label, &Proof, &Drilled)> {
        let (label, proof) = self.drill.as_ref()?;
        match &proof.found {
            Found::Drilled(found) => Some((label, proof, found)),
            _ => None,
        }
    }

    /// Backups whose last verification found faults.
    pub fn faulty(&self) -> impl Iterator<Item = (&Label, &Proof, &Verified)> {
        self.verified.iter().filter_map(|(label, proof)| match &proof.found {
            Found::Verified(found) if !found.passed => Some((label, proof, found)),
            _ => None,
        })
    }

    /// Backups whose manifests somebody took away.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }
}
