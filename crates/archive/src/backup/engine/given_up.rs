//! What backups have stored that were begun and never committed: a backup that comes soon after finds
//! their frames by hash, and need not seal and write them once more.
//!
//! Nothing is written for this while a backup runs: each pack ends with an index of its frames, whose
//! hashes are of their plain bytes. So whatever is found is what would be stored, byte for byte. A pack
//! of theirs that a manifest comes to list stays; expiry takes the others.

use howdah_repo::manifest::{PackId, PackRef};
use howdah_repo::name::{Family, Label};
use howdah_repo::pack::{Hash, hash};
use howdah_repo::{Lineage, RepoError};

use super::BackupError;

/// What is older is left to expiry, which takes it from this age on.
const YOUNGER_THAN_MS: i64 = 24 * 60 * 60 * 1000;
/// So many frames are kept in mind: 128 GiB of files, 20 MB of memory.
const FRAMES_MAX: usize = 1 << 19;

/// Frames by their hashes.
#[derive(Default, Debug)]
pub struct GivenUp {
    packs: Vec<PackRef>,
    /// In order of hashes: a pack's place in the list, and the frame's number.
    frames: Vec<(Hash, u32, u32)>,
}

impl GivenUp {
    pub fn find(&self, plain: &[u8]) -> Option<(&PackId, u32)> {
        if self.frames.is_empty() {
            return None;
        }
        let hash = hash(plain);
        let at = self.frames.binary_search_by_key(&hash, |(of, _, _)| *of).ok()?;
        let (_, pack, frame) = self.frames[at];
        Some((&self.packs[pack as usize].id, frame))
    }

    pub fn pack_ref(&self, id: &PackId) -> Option<&PackRef> {
        self.packs.iter().find(|pack| pack.id == *id)
    }
}

/// Those of the last day, as far as no backup was committed after them: what one of those found worth
/// keeping it lists itself.
pub async fn look(lineage: &Lineage, own: &Label, now_ms: i64) -> Result<GivenUp, BackupError> {
    let committed = lineage.backups().await?;
    let mut since = now_ms.saturating_sub(YOUNGER_THAN_MS);
    let mut packs = Vec::new();
    for label in lineage.attempts().await? {
        if label != *own && !committed.contains(&label) {
            packs.extend(young(lineage, &label, since).await?);
        }
    }
    if packs.is_empty() {
        return Ok(GivenUp::default());
    }
    for label in &committed {
        if let Ok(about) = lineage.about_backup(label).await {
            since = since.max(about.stopped_ms);
        }
    }
    packs.retain(|(_, written_ms)| *written_ms > since);
    let mut found = GivenUp::default();
    for (id, _) in packs {
        match lineage.look_at_pack(&id).await {
            Ok((pack, index)) => {
                let number = u32::try_from(found.packs.len()).unwrap_or(u32::MAX);
                found.packs.push(pack);
                found.frames.extend(index.places().map(|at| (at.hash, number, at.number)));
            }
            Err(RepoError::Absent { .. }) => {}
            Err(RepoError::Damaged { name, what }) => {
                tracing::warn!("a pack is not gone on from, {what}: `{name}`");
            }
            Err(error) => return Err(error.into()),
        }
        if found.frames.len() > FRAMES_MAX {
            break;
        }
    }
    found.frames.sort_unstable();
    found.frames.dedup_by_key(|(hash, _, _)| *hash);
    if !found.frames.is_empty() {
        let (frames, packs) = (found.frames.len(), found.packs.len());
        tracing::info!(
            "goes on from what was stored without a commit: {frames} frames, {packs} packs"
        );
    }
    Ok(found)
}

/// Its packs of data that were written later than `since`, with when they were.
async fn young(
    lineage: &Lineage,
    label: &Label,
    since: i64,
) -> Result<Vec<(PackId, i64)>, RepoError> {
    let files = lineage.repository().storage().files(&lineage.id().backup(label)).await?;
    let pack = |name: &str| {
        let number = name.rsplit('/').next()?.strip_prefix("pack-")?.parse().ok()?;
        Some(PackId { label: label.clone(), family: Family::Pack, number })
    };
    let young = files.iter().filter(|file| file.modified_ms > since);
    Ok(young.filter_map(|file| Some((pack(&file.name)?, file.modified_ms))).collect())
}
