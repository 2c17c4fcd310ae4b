//! How far the repository goes: what is listed, and nothing is read but histories.

use std::collections::{BTreeMap, BTreeSet};

use howdah_base::{History, Lsn, Position, Timeline, WalFile};
use howdah_repo::name::Gap;
use howdah_repo::wal::SegmentListed;
use howdah_repo::{Lineage, RepoError};

use super::ShipError;
use crate::receive;

/// Where WAL stops to follow on what is before it, along the server's newest timeline that is there,
/// and its ancestors: a put of an older one may have failed after the next had begun. `None`: there is
/// no WAL.
pub async fn of(
    lineage: &Lineage,
    segment: u64,
    server: &History,
) -> Result<Option<receive::Repository>, ShipError> {
    let timelines = lineage.timelines().await?;
    let Some(newest) = newest(&timelines, server) else { return Ok(None) };
    let history = history(lineage, newest).await?;
    let gaps = lineage.gaps().await?;
    let from = newest_backup(lineage, &history).await?;
    let mut listed = BTreeMap::new();
    for (timeline, _) in path(&history, from, &timelines) {
        let first = from.filter(|from| from.timeline == timeline);
        // A listing begins with the segment itself.
        let first = first.map(|from| WalFile::of(timeline, from.lsn, segment));
        listed.insert(timeline, lineage.segments(timeline, first.as_ref()).await?);
    }
    Ok(along(&history, path(&history, from, &timelines), &listed, &gaps, segment))
}

/// Where the newest backup begins that lies on this way. Of WAL before it, expiry leaves islands that
/// belong to older backups; all behind it stays.
async fn newest_backup(
    lineage: &Lineage,
    history: &History,
) -> Result<Option<Position>, ShipError> {
    for label in lineage.backups().await?.iter().rev() {
        match lineage.about_backup(label).await {
            Ok(about) => {
                if history.contains(about.start()) && history.contains(about.stop()) {
                    return Ok(Some(about.start()));
                }
            }
            // Removed meanwhile, or it says nothing.
            Err(RepoError::Absent { .. } | RepoError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The timelines that lead there, from where there is WAL, and where each is left.
fn path(
    history: &History,
    from: Option<Position>,
    there: &[Timeline],
) -> Vec<(Timeline, Option<Lsn>)> {
    let forks = history.forks.iter().map(|(timeline, fork)| (*timeline, Some(*fork)));
    let path = forks.chain([(history.timeline, None)]);
    // What has been expired is not missed.
    let path = path.skip_while(|(timeline, _)| match from {
        Some(from) => *timeline != from.timeline,
        None => !there.contains(timeline),
    });
    path.collect()
}

/// The last place on the path that WAL leads to.
fn along(
    history: &History,
    path: Vec<(Timeline, Option<Lsn>)>,
    listed: &BTreeMap<Timeline, Vec<SegmentListed>>,
    gaps: &[Gap],
    segment: u64,
) -> Option<receive::Repository> {
    let mut before = None;
    let mut found = None;
    for (timeline, fork) in path {
        let listed = listed.get(&timeline).map_or(&[][..], Vec::as_slice);
        let end = match (end(listed, timeline, gaps, segment, before), before) {
            (Some(end), _) => end,
            (None, None) => continue,
            // It was left where it began.
            (None, Some(before)) if fork == Some(before) => continue,
            // What it repeats of the segment is not all there: it is put from the segment's first byte.
            (None, Some(_)) => break,
        };
        let on = History {
            timeline,
            forks: history.forks.iter().copied().take_while(|(of, _)| *of != timeline).collect(),
        };
        found =
            Some(receive::Repository { end: fork.map_or(end, |fork| end.min(fork)), history: on });
        match fork {
            Some(fork) if end < fork => break,
            fork => before = fork,
        }
    }
    found
}

/// The newest timeline on the server's way; of any when there is none. Newer ones may be of branches that
/// a cluster was taken back from: how far those went says nothing of what the server's way lacks.
fn newest(timelines: &[Timeline], server: &History) -> Option<Timeline> {
    let on_the_way =
        timelines.iter().copied().filter(|timeline| server.leaves(*timeline).is_some());
    on_the_way.max().or_else(|| timelines.iter().copied().max())
}

/// Of a timeline with its ancestors.
pub async fn history(lineage: &Lineage, timeline: Timeline) -> Result<History, ShipError> {
    if timeline == Timeline(1) {
        return Ok(History::root(timeline));
    }
    let text = match lineage.get_history(timeline).await {
        Ok(text) => text,
        Err(RepoError::Absent { .. }) => return Err(ShipError::History(timeline.0)),
        Err(error) => return Err(error.into()),
    };
    let text = std::str::from_utf8(&text).ok();
    let history = text.and_then(|text| History::parse(timeline, text).ok());
    history.ok_or(ShipError::History(timeline.0))
}

/// The end on one timeline; what is known to be missing is passed over. `from`: where it must begin,
/// having left another there, whose part of the segment it repeats.
fn end(
    listed: &[SegmentListed],
    timeline: Timeline,
    gaps: &[Gap],
    segment: u64,
    from: Option<Lsn>,
) -> Option<Lsn> {
    let missing: BTreeSet<(Lsn, Lsn)> =
        gaps.iter().filter(|gap| gap.timeline == timeline).map(|gap| (gap.from, gap.to)).collect();
    let size = u32::try_from(segment).unwrap_or(u32::MAX);
    let mut end = from.map(|from| Lsn(from.0 / segment * segment));
    for piece in listed {
        let start = piece.segment.start(segment)?;
        let expected = end.unwrap_or(start);
        let passed = missing.iter().any(|(from, to)| *from <= expected && *to >= start);
        if expected < start && !passed {
            break;
        }
        let reach = u64::from(piece.reach(size));
        end = Some(Lsn(start.0 + reach).max(expected));
        if reach < segment && !missing.iter().any(|(from, _)| from.0 == start.0 + reach) {
            break;
        }
    }
    // What is known to be missing is not waited for.
    let over = |end: Lsn| missing.iter().find(|(from, to)| *from <= end && *to > end);
    while let Some((_, to)) = end.and_then(over) {
        end = Some(*to);
    }
    end.filter(|end| from.is_none_or(|from| *end >= from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(numbers: &[(u64, Option<u32>)]) -> Vec<SegmentListed> {
        let piece = |(number, reach): &(u64, Option<u32>)| SegmentListed {
            segment: WalFile::of(Timeline(1), Lsn(number << 24), 1 << 24),
            whole: reach.is_none().then_some(1),
            chunks: reach.iter().map(|reach| (0, *reach)).collect(),
        };
        numbers.iter().map(piece).collect()
    }

    fn ends(numbers: &[(u64, Option<u32>)], gaps: &[(u64, u64)]) -> Option<String> {
        let gap =
            |(from, to): &(u64, u64)| Gap { timeline: Timeline(1), from: Lsn(*from), to: Lsn(*to) };
        let gaps: Vec<Gap> = gaps.iter().map(gap).collect();
        end(&listed(numbers), Timeline(1), &gaps, 1 << 24, None).map(|lsn| lsn.to_string())
    }

    #[test]
    fn a_hole_is_an_end_unless_it_is_known() {
        assert_eq!(ends(&[], &[]), None);
        assert_eq!(ends(&[(3, None), (4, None)], &[]).as_deref(), Some("0/5000000"));
        assert_eq!(ends(&[(3, None), (4, Some(77))], &[]).as_deref(), Some("0/400004D"));
        assert_eq!(ends(&[(3, None), (5, None)], &[]).as_deref(), Some("0/4000000"));
        let known = [(0x400_0000, 0x500_0000)];
        assert_eq!(ends(&[(3, None), (5, None)], &known).as_deref(), Some("0/6000000"));
        assert_eq!(ends(&[(3, Some(9)), (5, None)], &[]).as_deref(), Some("0/3000009"));
        assert_eq!(ends(&[(3, Some(9))], &known).as_deref(), Some("0/3000009"));
        let known = [(0x300_0009, 0x500_0000)];
        assert_eq!(ends(&[(3, Some(9))], &known).as_deref(), Some("0/5000000"));
        assert_eq!(ends(&[(3, Some(9)), (5, None)], &known).as_deref(), Some("0/6000000"));
    }

    /// Timeline 2 left 1 at 77 bytes of the fourth segment.
    fn forked(second: &[(u64, Option<u32>)]) -> Option<(u32, String)> {
        let left = Lsn((4 << 24) + 77);
        let history = History { timeline: Timeline(2), forks: vec![(Timeline(1), left)] };
        let there = [Timeline(1), Timeline(2)];
        let first = listed(&[(3, None), (4, Some(77))]);
        let all = BTreeMap::from([(Timeline(1), first), (Timeline(2), listed(second))]);
        let found = along(&history, path(&history, None, &there), &all, &[], 1 << 24)?;
        Some((found.history.timeline.0, found.end.to_string()))
    }

    #[test]
    fn a_timeline_counts_from_where_it_has_come_past_its_fork() {
        let ancestor = Some((1, "0/400004D".to_owned()));
        assert_eq!(forked(&[]), ancestor);
        assert_eq!(forked(&[(4, Some(50))]), ancestor, "its first bytes are put once more");
        assert_eq!(forked(&[(4, Some(90))]), Some((2, "0/400005A".to_owned())));
        assert_eq!(forked(&[(4, None), (5, Some(9))]), Some((2, "0/5000009".to_owned())));
    }

    #[test]
    fn what_expiry_left_of_older_backups_is_no_hole() {
        let history = History::root(Timeline(1));
        let from = Some(Position { timeline: Timeline(1), lsn: Lsn((9 << 24) + 40) });
        let path = path(&history, from, &[Timeline(1)]);
        let all = BTreeMap::from([(Timeline(1), listed(&[(9, None), (10, None)]))]);
        let found = along(&history, path, &all, &[], 1 << 24).map(|found| found.end.to_string());
        assert_eq!(found.as_deref(), Some("0/B000000"));
    }

    #[test]
    fn a_branch_that_was_left_says_nothing_of_the_way() {
        let forks = [(1, 0x100), (2, 0x300)].map(|(of, at)| (Timeline(of), Lsn(at))).to_vec();
        let server = History { timeline: Timeline(5), forks };
        let newest = |there: &[u32]| {
            let there: Vec<Timeline> = there.iter().copied().map(Timeline).collect();
            newest(&there, &server).map(|timeline| timeline.0)
        };
        assert_eq!(newest(&[1, 2, 4]), Some(2), "4 left 2 elsewhere");
        assert_eq!(newest(&[1, 2, 4, 5]), Some(5));
        assert_eq!(newest(&[3, 4]), Some(4), "nothing is shared, which is told");
        assert_eq!(newest(&[]), None);
    }

    #[test]
    fn a_timeline_must_go_on_where_the_other_was_left() {
        let from = |numbers: &[(u64, Option<u32>)], from| {
            let pieces = listed(numbers);
            end(&pieces, Timeline(1), &[], 1 << 24, Some(Lsn(from))).map(|lsn| lsn.to_string())
        };
        let left = (4 << 24) + 77;
        assert_eq!(from(&[(4, None), (5, Some(9))], left).as_deref(), Some("0/5000009"));
        assert_eq!(from(&[(4, Some(50))], left), None, "it has not come as far");
        assert_eq!(from(&[(5, None)], left), None, "its first segment is missing");
        assert_eq!(from(&[], left), None);
    }
}
