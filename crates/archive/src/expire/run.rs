//! Looks at what a lineage holds, and removes what may go, under the repository's lease: so no backup
//! is being made meanwhile.

use std::collections::BTreeSet;

use howdah_base::{Lsn, Timeline};
use howdah_repo::name::{Label, Name, WalObject};
use howdah_repo::{Lease, Lineage, RepoError};

use super::reach::{Inventory, Pack, Removal, Wal, Whole};
use crate::ship::{ShipError, history_of};

/// Objects that were removed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Removed {
    pub backups: usize,
    pub packs: usize,
    pub wal: usize,
}

/// All that is there. Every manifest is read.
pub async fn look(lineage: &Lineage) -> Result<Inventory, ShipError> {
    let mut all = Inventory::default();
    for label in lineage.backups().await? {
        all.backups.push(whole(lineage, &label).await?);
    }
    let id = lineage.id();
    for listed in lineage.repository().storage().list(&id.backups(), None).await? {
        let file = listed.name.rsplit('/').next().unwrap_or_default();
        if file.starts_with("pack-") || file.starts_with("map-") {
            let written_at = moment(listed.modified_ms);
            all.packs.push(Pack { name: listed.name, written_at });
        }
    }
    let size = u64::from(lineage.about().await?.segment_bytes);
    for listed in lineage.repository().storage().list(&id.wal(), None).await? {
        let Some((timeline, from, to)) = wal_of(WalObject::read(id, &listed.name), size) else {
            continue;
        };
        let written_at = moment(listed.modified_ms);
        all.wal.push(Wal { name: listed.name, timeline, from, to, written_at });
    }
    let timelines: BTreeSet<Timeline> = all.wal.iter().map(|wal| wal.timeline).collect();
    for timeline in timelines {
        all.histories.insert(timeline, history_of(lineage, timeline).await?);
    }
    Ok(all)
}

/// What an object is needed for. A chunk is as good as its segment, which is read from its first byte on:
/// without the chunks below it, it leads nowhere.
fn wal_of(object: Option<WalObject>, size: u64) -> Option<(Timeline, Lsn, Lsn)> {
    let segment = match object? {
        WalObject::Segment(segment) | WalObject::Chunk { segment, .. } => segment,
        WalObject::History(_) | WalObject::Gap(_) => return None,
    };
    let start = segment.start(size)?;
    Some((segment.timeline()?, start, Lsn(start.0 + size)))
}

/// Removes it: manifests before packs, so that nobody begins to read what is about to go; and before a
/// manifest what was found of its backup, so that it is not missed. What is left over by a failure goes
/// the next time.
pub async fn remove(
    lineage: &Lineage,
    lease: &Lease,
    removal: &Removal,
    now: impl Fn() -> i64,
) -> Result<Removed, RepoError> {
    let mut removed = Removed::default();
    for label in &removal.backups {
        let label = label.parse()?;
        lease.confirm(now()).await?;
        lineage.forget_proofs(&label).await?;
        lineage.repository().storage().delete(&lineage.id().manifest(&label)).await?;
        removed.backups += 1;
    }
    for (names, count) in [(&removal.packs, &mut removed.packs), (&removal.wal, &mut removed.wal)] {
        for (number, name) in names.iter().enumerate() {
            if number % CONFIRM_EVERY == 0 {
                lease.confirm(now()).await?;
            }
            lineage.repository().storage().delete(&Name::read(name)?).await?;
            *count += 1;
        }
    }
    Ok(removed)
}

/// Objects that are removed before it is asked again whether the lease is held.
const CONFIRM_EVERY: usize = 50;

async fn whole(lineage: &Lineage, label: &Label) -> Result<Whole, RepoError> {
    let manifest = lineage.get_manifest(label).await?;
    let about = &manifest.about;
    let pack = |id: &howdah_repo::manifest::PackId| {
        lineage.id().pack(&id.label, id.family, id.number).to_string()
    };
    Ok(Whole {
        label: label.as_str().to_owned(),
        start: about.start(),
        stop: about.stop(),
        stopped_at: moment(about.stopped_ms),
        packs: manifest.packs.iter().map(|pack_ref| pack(&pack_ref.id)).collect(),
    })
}

fn moment(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use howdah_base::WalFile;

    use super::*;

    #[test]
    fn a_chunk_is_needed_as_long_as_any_of_its_segment() {
        let segment = WalFile::of(Timeline(1), Lsn(4 << 24), 1 << 24);
        let whole = Some((Timeline(1), Lsn(4 << 24), Lsn(5 << 24)));
        assert_eq!(wal_of(Some(WalObject::Segment(segment.clone())), 1 << 24), whole);
        let chunk = WalObject::Chunk { segment, from: 0, to: 40 };
        assert_eq!(wal_of(Some(chunk), 1 << 24), whole, "a backup may begin behind it");
    }
}
