//! Whether all WAL of a backup is in the repository: without it there is no backup.

use std::time::Duration;

use howdah_base::{History, Lsn, Timeline, WalFile};
use howdah_repo::Lineage;
use tokio::time::{Instant, sleep};

use super::BackupError;

/// As a rule it is under way already; then ever more seldom, for each look is a request.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(20);
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(500);
const TELL_EVERY: Duration = Duration::from_secs(10);

/// WAL that lies there behind what is missing may just have been quicker, for such a part of the patience.
const PASSED_FOR: u32 = 5;

/// WAL of one timeline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needed {
    pub timeline: Timeline,
    pub from: Lsn,
    pub to: Lsn,
}

/// What a backup needs that began on `first` and ended on the timeline of `history`.
pub fn needed(history: &History, first: Timeline, start: Lsn, stop: Lsn) -> Vec<Needed> {
    let mut from = start;
    let mut found = Vec::new();
    let forks = history.forks.iter().skip_while(|(timeline, _)| *timeline != first);
    for (timeline, fork) in forks {
        let to = (*fork).min(stop);
        found.push(Needed { timeline: *timeline, from, to });
        from = to;
    }
    found.push(Needed { timeline: history.timeline, from, to: stop });
    found.retain(|needed| needed.from < needed.to);
    found
}

/// Waits until all of it is there.
pub async fn arrived(
    lineage: &Lineage,
    needed: &[Needed],
    segment: u64,
    within: Duration,
) -> Result<(), BackupError> {
    let begun = Instant::now();
    let (mut told, mut wait) = (begun, LOOK_AGAIN_MIN);
    for stretch in needed {
        let mut hole: Option<(Lsn, Instant)> = None;
        loop {
            let Some(Missing { from, is_passed }) = missing(lineage, stretch, segment).await?
            else {
                break;
            };
            let timeline = stretch.timeline;
            for gap in lineage.gaps().await? {
                if gap.timeline == timeline && gap.from < stretch.to && gap.to > from {
                    return Err(BackupError::WalLost { timeline, from: gap.from.max(from) });
                }
            }
            let since =
                hole.filter(|(at, _)| *at == from).map_or_else(Instant::now, |(_, since)| since);
            hole = is_passed.then_some((from, since));
            if is_passed && since.elapsed() > within / PASSED_FOR {
                return Err(BackupError::WalLost { timeline, from });
            }
            if begun.elapsed() > within {
                return Err(BackupError::NoWal { timeline, from, within });
            }
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                tracing::info!("the backup waits for WAL of timeline {timeline} from `{from}`");
            }
            sleep(wait).await;
            wait = (wait * 3 / 2).min(LOOK_AGAIN_MAX);
        }
    }
    Ok(())
}

/// WAL that is not there.
struct Missing {
    from: Lsn,
    /// A later segment is.
    is_passed: bool,
}

/// From where on it is not there; `None`: all of it is.
async fn missing(
    lineage: &Lineage,
    stretch: &Needed,
    segment: u64,
) -> Result<Option<Missing>, BackupError> {
    let Needed { timeline, from, to } = *stretch;
    let first = WalFile::of(timeline, from, segment);
    let listed = lineage.segments(timeline, Some(&first)).await?;
    let size = u32::try_from(segment).unwrap_or(u32::MAX);
    for file in WalFile::between(timeline, from, to, segment) {
        let start = file.start(segment).unwrap_or(from);
        let reach = listed.iter().find(|listed| listed.segment == file);
        let end = Lsn(start.0 + u64::from(reach.map_or(0, |listed| listed.reach(size))));
        let needed = Lsn(start.0 + segment).min(to);
        if end < needed {
            let is_passed = listed.iter().any(|listed| listed.segment > file);
            return Ok(Some(Missing { from: end.max(from), is_passed }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_over_a_fork_needs_both_sides() {
        let history = History::root(Timeline(1)).promoted(Lsn(500), Timeline(2));
        let says = |first, start, stop| {
            let needed = needed(&history, Timeline(first), Lsn(start), Lsn(stop));
            let each = needed.iter().map(|n| (n.timeline.0, n.from.0, n.to.0));
            each.collect::<Vec<_>>()
        };
        assert_eq!(says(1, 100, 900), [(1, 100, 500), (2, 500, 900)]);
        assert_eq!(says(2, 600, 900), [(2, 600, 900)]);
        assert_eq!(says(1, 100, 400), [(1, 100, 400)]);
    }
}
