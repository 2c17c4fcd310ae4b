//! WAL: that of the backup itself is there and opens; from there on to the newest there is no hole.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use howdah_base::{History, Lsn, Position, Timeline, WalFile};
use howdah_postgres::wal::segment;
use howdah_repo::RepoError;
use howdah_repo::manifest::About;
use howdah_repo::name::Gap;

use super::{VerifyError, Work};
use crate::restore::holding;
use crate::restore::plan::Holding;
use crate::threads;

/// Segments that were opened in this run, and what is amiss with each.
#[derive(Debug, Default)]
pub struct Opened(BTreeMap<WalFile, Option<String>>);

/// WAL of one timeline that is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Hole {
    timeline: Timeline,
    from: Lsn,
    to: Lsn,
}

pub async fn verify(work: &Arc<Work>, jobs: usize, opened: &mut Opened) -> Result<(), VerifyError> {
    let about = &work.manifest.about;
    let held = holding::look(&work.lineage).await?;
    let lost = work.lineage.gaps().await?;
    let path = path(&held, about.start(), about.stop());
    let name = work.lineage.id().wal();
    for hole in holes(&held, &path, about.stop()) {
        let Hole { timeline, from, to } = hole;
        let object = format!("{name}: timeline {timeline}, from {from} to {to}");
        let what = match is_lost(&lost, &hole) {
            true => "it is missing, and noted as lost",
            false => "it is missing",
        };
        match is_own(about, timeline, from) {
            true => work.faults.own_wal(object, what.to_owned()),
            false => work.faults.later_wal(object, what.to_owned(), from, timeline),
        }
    }
    let size = u64::from(about.wal_segment_size);
    let mut all = Vec::new();
    for (timeline, from, to) in &path {
        let end = to.unwrap_or_else(|| end_of(&held, *timeline));
        all.extend(WalFile::between(*timeline, *from, end, size));
    }
    open(work, jobs, &all, opened).await?;
    for file in all {
        let Some(Some(what)) = opened.0.get(&file) else { continue };
        let object = work.lineage.id().segment(&file).to_string();
        let (Some(begin), Some(timeline)) = (file.start(size), file.timeline()) else { continue };
        match is_own(about, timeline, begin) {
            true => work.faults.own_wal(object, what.clone()),
            false => work.faults.later_wal(object, what.clone(), begin, timeline),
        }
    }
    Ok(())
}

/// Whether the backup is inconsistent without what begins here; on its way, timelines rise.
fn is_own(about: &About, timeline: Timeline, from: Lsn) -> bool {
    let stop = about.stop();
    timeline < stop.timeline || timeline == stop.timeline && from < stop.lsn
}

/// From a backup to the newest timeline that it leads to: each timeline, and where it is left.
fn path(held: &Holding, start: Position, stop: Position) -> Vec<(Timeline, Lsn, Option<Lsn>)> {
    let own = History::root(start.timeline);
    let leads = |history: &&History| history.contains(stop);
    let newest = held.histories.values().filter(leads).max_by_key(|history| history.timeline);
    let history = newest.unwrap_or(&own);
    let forks = history.forks.iter().map(|(timeline, fork)| (*timeline, Some(*fork)));
    let ways = forks.chain([(history.timeline, None)]);
    let mut from = start.lsn;
    let mut path = Vec::new();
    for (timeline, left) in ways.skip_while(|(timeline, _)| *timeline != start.timeline) {
        path.push((timeline, from, left));
        from = left.unwrap_or(from);
    }
    path
}

/// What is missing on the way.
fn holes(held: &Holding, path: &[(Timeline, Lsn, Option<Lsn>)], stop: Position) -> Vec<Hole> {
    let mut holes = Vec::new();
    for (number, (timeline, from, left)) in path.iter().enumerate() {
        let mut at = *from;
        for (begin, end) in pieces(held, *timeline) {
            if *begin > at && left.is_none_or(|left| at < left) {
                let to = left.map_or(*begin, |left| left.min(*begin));
                holes.push(Hole { timeline: *timeline, from: at, to });
            }
            at = at.max(*end);
        }
        let own = (*timeline == stop.timeline).then_some(stop.lsn);
        if let Some(needed) = left.or(own).filter(|needed| at < *needed) {
            holes.push(Hole { timeline: *timeline, from: at, to: needed });
        }
        // A later timeline begins with a copy of the segment in which this one was left.
        let later = &path[number + 1..];
        let copied = |hole: &Hole| {
            let mut copies = later.iter().flat_map(|(timeline, ..)| pieces(held, *timeline));
            copies.any(|(begin, end)| *begin <= hole.from && hole.to <= *end)
        };
        holes.retain(|hole| hole.timeline != *timeline || Some(hole.to) != *left || !copied(hole));
    }
    holes
}

fn pieces(held: &Holding, timeline: Timeline) -> &[(Lsn, Lsn)] {
    held.wal.get(&timeline).map_or(&[][..], Vec::as_slice)
}

fn end_of(held: &Holding, timeline: Timeline) -> Lsn {
    pieces(held, timeline).last().map_or(Lsn(0), |(_, end)| *end)
}

fn is_lost(lost: &[Gap], hole: &Hole) -> bool {
    let same = |gap: &&Gap| gap.timeline == hole.timeline;
    lost.iter().filter(same).any(|gap| gap.from <= hole.from && gap.to >= hole.to)
}

/// Opens those of `files` that are the backup's own, and of the others those that are picked.
async fn open(
    work: &Arc<Work>,
    jobs: usize,
    files: &[WalFile],
    opened: &mut Opened,
) -> Result<(), VerifyError> {
    let about = &work.manifest.about;
    let size = u64::from(about.wal_segment_size);
    let own = |file: &WalFile| {
        let place = file.timeline().zip(file.start(size));
        place.is_some_and(|(timeline, start)| is_own(about, timeline, start))
    };
    let wanted = |file: &&WalFile| {
        !opened.0.contains_key(*file) && (own(file) || work.pick.takes(file.as_str(), 0))
    };
    let queue: VecDeque<WalFile> = files.iter().filter(wanted).cloned().collect();
    let (queue, found) = (Arc::new(Mutex::new(queue)), Arc::new(Mutex::new(Vec::new())));
    let (shared, said) = (Arc::clone(work), Arc::clone(&found));
    threads::run(jobs, &work.stop, move || -> Result<(), VerifyError> {
        loop {
            shared.stop.check()?;
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(file) = next else { return Ok(()) };
            let what = one(&shared, &file)?;
            said.lock().unwrap_or_else(PoisonError::into_inner).push((file, what));
        }
    })
    .await?;
    opened.0.extend(std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner)));
    Ok(())
}

/// What is amiss with a segment; one that is missing is a hole, and was told.
fn one(work: &Work, file: &WalFile) -> Result<Option<String>, VerifyError> {
    let about = &work.manifest.about;
    let read = work.lineage.get_segment(file, about.wal_segment_size);
    let found = match work.handle.block_on(read) {
        Ok(found) => found,
        Err(RepoError::Absent { .. }) => return Ok(None),
        Err(RepoError::Damaged { what, .. }) => return Ok(Some(what)),
        Err(error) => return Err(error.into()),
    };
    work.tell(|counts| {
        counts.segments += 1;
        counts.bytes += found.bytes.len() as u64;
    });
    let Some(said) = segment::said(&found.bytes) else {
        return Ok(Some("it does not begin as WAL does".to_owned()));
    };
    let place = file.start(u64::from(about.wal_segment_size));
    let fine = said.system_identifier == about.system_identifier && Some(said.start) == place;
    Ok((!fine).then(|| "it is another server's, or of another place".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One timeline 1 left at 500 for 2; pieces as given.
    fn shown_to(
        one: &[(u64, u64)],
        two: &[(u64, u64)],
        start: u64,
        (at, stop): (u32, u64),
    ) -> Vec<String> {
        let lsns = |pieces: &[(u64, u64)]| pieces.iter().map(|(a, b)| (Lsn(*a), Lsn(*b))).collect();
        let first = History::root(Timeline(1));
        let second = first.promoted(Lsn(500), Timeline(2));
        let held = Holding {
            backups: vec![],
            histories: [(Timeline(1), first), (Timeline(2), second)].into(),
            wal: [(Timeline(1), lsns(one)), (Timeline(2), lsns(two))].into(),
        };
        let start = Position { timeline: Timeline(1), lsn: Lsn(start) };
        let stop = Position { timeline: Timeline(at), lsn: Lsn(stop) };
        let holes = holes(&held, &path(&held, start, stop), stop);
        holes
            .iter()
            .map(|hole| format!("{}:{}-{}", hole.timeline, hole.from.0, hole.to.0))
            .collect()
    }

    fn shown(one: &[(u64, u64)], two: &[(u64, u64)], start: u64, stop: u64) -> Vec<String> {
        shown_to(one, two, start, (1, stop))
    }

    #[test]
    fn a_backup_may_end_behind_a_fork_and_the_new_timeline_has_a_copy_of_the_old_end() {
        assert_eq!(shown_to(&[(100, 600)], &[(500, 650)], 450, (2, 600)), [""; 0]);
        assert_eq!(shown_to(&[(100, 600)], &[(500, 550)], 450, (2, 600)), ["2:550-600"]);
        assert_eq!(shown_to(&[(100, 480)], &[(480, 650)], 450, (2, 600)), [""; 0]);
        assert_eq!(shown_to(&[(100, 470)], &[(480, 650)], 450, (2, 600)), ["1:470-500"]);
        assert_eq!(shown(&[(100, 480)], &[(480, 900)], 150, 200), [""; 0]);
    }

    #[test]
    fn holes_are_named_over_the_timelines_up_to_the_newest() {
        assert_eq!(shown(&[(100, 600)], &[(500, 900)], 150, 200), [""; 0]);
        assert_eq!(shown(&[(100, 180)], &[(500, 900)], 150, 200), ["1:180-500"]);
        assert_eq!(shown(&[(100, 300), (400, 600)], &[(500, 900)], 150, 200), ["1:300-400"]);
        assert_eq!(
            shown(&[(160, 600)], &[(500, 700), (800, 900)], 150, 200),
            ["1:150-160", "2:700-800"]
        );
        assert_eq!(shown(&[], &[(600, 900)], 150, 200), ["1:150-500", "2:500-600"]);
        // Behind the fork the backup stays on its own timeline.
        assert_eq!(shown(&[(100, 800)], &[(500, 900)], 600, 700), [""; 0]);
        assert_eq!(shown(&[(100, 650)], &[(500, 900)], 600, 700), ["1:650-700"]);
    }
}
