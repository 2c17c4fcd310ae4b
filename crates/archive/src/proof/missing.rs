//! Backups that were committed and have no manifest any more, although nobody expired them: what a
//! hand, or a rule of the bucket, took away.
//!
//! ```text
//! commit: manifest, then a proof that says so      expiry: the proofs, then the manifest
//! ```
//! So a backup with that proof and no manifest is missed, and one that is killed in between is not.

use howdah_repo::name::Label;
use howdah_repo::{Lease, Lineage, RepoError};

use super::keep::{KEY, keep, read};
use super::{Found, Proof};

/// A backup that is missed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    pub label: Label,
    /// When it was committed, unix milliseconds.
    pub committed_ms: i64,
}

/// What to do about one.
pub fn put_back(label: &str) -> String {
    format!(
        "put its manifest back from a copy, or from an older version where the storage keeps them; or \
         give it up: howdah expire --give-up {label}"
    )
}

/// Proofs of such a backup that are looked at: the commit's is its first, or near it.
const LOOKED_AT_MAX: usize = 4;

/// Writes down that a backup was committed.
pub async fn note_commit(
    lineage: &Lineage,
    lease: &Lease,
    label: &Label,
    at_ms: i64,
) -> Result<(), RepoError> {
    let proof = Proof { at_ms, by: lease.holder().to_owned(), found: Found::Committed };
    keep(lineage, label, &proof).await
}

/// Those that are missed, in the order of labels. One listing, where nothing is.
pub async fn missing(lineage: &Lineage) -> Result<Vec<Missing>, RepoError> {
    // Proofs before backups: what expires meanwhile has none any more when it is looked at.
    let proofs = lineage.all_proofs().await?;
    let mut missed = Vec::new();
    for (label, numbers) in &proofs {
        if !lineage.has_backup(label).await?
            && let Some(committed_ms) = was_committed(lineage, label, numbers).await?
        {
            missed.push(Missing { label: label.clone(), committed_ms });
        }
    }
    Ok(missed)
}

/// When a backup whose proofs have these numbers was committed, if that is known.
pub(super) async fn was_committed(
    lineage: &Lineage,
    label: &Label,
    numbers: &[u32],
) -> Result<Option<i64>, RepoError> {
    if label.as_str() == KEY {
        return Ok(None);
    }
    for number in numbers.iter().take(LOOKED_AT_MAX) {
        let proof = read(lineage, label, *number).await?;
        if let Some(Proof { at_ms, found: Found::Committed, .. }) = proof {
            return Ok(Some(at_ms));
        }
    }
    Ok(None)
}
