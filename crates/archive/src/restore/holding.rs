//! What a lineage holds, as a plan needs it: by listing, and the first frame of each manifest.

use howdah_base::Lsn;
use howdah_repo::{Lineage, RepoError};

use super::plan::{BackupFacts, Holding};
use crate::ship::{ShipError, history_of};

/// Looks.
pub async fn look(lineage: &Lineage) -> Result<Holding, ShipError> {
    let mut holding = Holding::default();
    for label in lineage.backups().await? {
        let about = match lineage.about_backup(&label).await {
            // Given up meanwhile.
            Err(RepoError::Absent { .. }) => continue,
            // The others are as good as before.
            Err(error @ RepoError::Damaged { .. }) => {
                tracing::warn!(
                    "backup `{label}` is left out: {error}; hint: howdah verify {label}"
                );
                continue;
            }
            about => about?,
        };
        holding.backups.push(BackupFacts {
            label: label.as_str().to_owned(),
            start: about.start(),
            stop: about.stop(),
            stopped_at: u64::try_from(about.stopped_ms).unwrap_or(0),
        });
    }
    let size = lineage.about().await?.segment_bytes;
    let mut timelines = lineage.timelines().await?;
    timelines.sort();
    for timeline in timelines {
        holding.histories.insert(timeline, history_of(lineage, timeline).await?);
        let pieces = holding.wal.entry(timeline).or_default();
        for listed in lineage.segments(timeline, None).await? {
            let Some(start) = listed.segment.start(u64::from(size)) else { continue };
            let end = Lsn(start.0 + u64::from(listed.reach(size)));
            match pieces.last_mut() {
                Some((_, before)) if *before == start => *before = end,
                _ => pieces.push((start, end)),
            }
        }
    }
    Ok(holding)
}
