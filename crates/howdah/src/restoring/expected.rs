//! How long a restore is expected to take: by what the newest drill of this repository took for its bytes.

use howdah_archive::proof::{self, Drilled};
use howdah_repo::{Lineage, RepoError};

/// So many backups, the newest first, are looked at for a drill.
const LOOKED_AT_MAX: usize = 8;

/// Milliseconds for so many bytes of files and of WAL; `None` where nothing was drilled lately.
///
/// # Errors
/// The repository does not answer.
pub async fn time(lineage: &Lineage, bytes: u64, wal: u64) -> Result<Option<u64>, RepoError> {
    // Labels are in the order of their beginnings.
    for (label, numbers) in lineage.all_proofs().await?.iter().rev().take(LOOKED_AT_MAX) {
        let known = proof::known(lineage, label, numbers).await?;
        if let Some(time) = known.drilled.and_then(|(_, drill)| by(&drill, bytes, wal)) {
            return Ok(Some(time));
        }
    }
    Ok(None)
}

/// Files and WAL each at the drill's pace, and never quicker than it was: there is more to do than bytes.
fn by(drill: &Drilled, bytes: u64, wal: u64) -> Option<u64> {
    let pace = |ms: u64, of: u64, wanted: u64| {
        let scaled = u128::from(ms) * u128::from(wanted) / u128::from(of.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX).max(ms)
    };
    let (restored, replayed) = drill.restored_ms.zip(drill.replayed_ms)?;
    let files = pace(restored, drill.bytes, bytes);
    drill.passed.then(|| files.saturating_add(pace(replayed, drill.wal_bytes, wal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_as_long_as_the_drill_did_for_as_much() {
        let drill = serde_json::json!({
            "passed": true, "target": "latest", "restored_ms": 1000, "replayed_ms": 200,
            "bytes": 1000, "wal_bytes": 100,
        });
        let drill: Drilled = serde_json::from_value(drill).expect("a drill");
        for (bytes, wal, ms) in [(1000, 100, 1200), (5000, 100, 5200), (10, 400, 1800)] {
            assert_eq!(by(&drill, bytes, wal), Some(ms), "{bytes} {wal}");
        }
        assert_eq!(by(&Drilled { passed: false, ..drill.clone() }, 1, 1), None);
        assert_eq!(by(&Drilled { replayed_ms: None, ..drill }, 1, 1), None);
    }
}
