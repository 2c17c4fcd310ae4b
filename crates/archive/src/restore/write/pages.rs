//! The pages of a relation's file: out of packs, but for those that are right where they lie.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use howdah_repo::manifest::MapRef;
use howdah_repo::page_map::{PageMap, page_sum};

use super::RestoreError;
use super::files::{How, Large, Work, locked};
use super::gather::Wanted;
use crate::backup::page::PAGE;

/// Where the pages of one file are, and what they were.
#[derive(Debug)]
pub struct Pages {
    map: PageMap,
    /// Of each page; none where all of them are fetched.
    sums: Vec<u64>,
}

/// Fills `buffer` with the pages from byte `begin` of the file on, and says which parts of it are not
/// in the file yet.
pub fn bring(
    work: &Work,
    large: &Large,
    at: MapRef,
    begin: u64,
    file: &File,
    buffer: &mut [u8],
) -> Result<Vec<Range<usize>>, RestoreError> {
    let pages = pages_of(work, large, at)?;
    let first = (begin / PAGE as u64) as u32;
    let count = (buffer.len() / PAGE) as u32;
    let missing = match large.how {
        How::Anew => std::iter::once(0..count).collect(),
        How::ByPages => {
            let path = &work.manifest.files[large.index].path;
            let there = read(
                |buffer, at| file.read_at(buffer, at),
                begin,
                buffer,
                |error| {
                    if !large.unread.swap(true, Ordering::Relaxed) {
                        let path = work.places.path(path);
                        tracing::warn!(
                            "fetched, for it cannot be read, {error}: `{}`",
                            path.display()
                        );
                    }
                },
            );
            wrong(buffer, there, &pages.sums[first as usize..])
        }
    };
    let mut wanted = Wanted::default();
    for part in &missing {
        want(work, &pages.map, (first, part.clone()), &mut wanted)?;
    }
    wanted.fetch(&work.packs, &work.handle, &work.stop, buffer)?;
    let bytes = |part: &Range<u32>| part.start as usize * PAGE..part.end as usize * PAGE;
    Ok(missing.iter().map(bytes).collect())
}

/// As much as the file has; how many bytes. None where some cannot be read: a disk that cannot give them
/// back may still take them anew.
fn read(
    read_at: impl Fn(&mut [u8], u64) -> io::Result<usize>,
    begin: u64,
    buffer: &mut [u8],
    tell: impl FnOnce(io::Error),
) -> usize {
    let mut there = 0;
    while there < buffer.len() {
        match read_at(&mut buffer[there..], begin + there as u64) {
            Ok(0) => break,
            Ok(more) => there += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tell(error);
                return 0;
            }
        }
    }
    there
}

/// The pages of `buffer`, of which the first `there` bytes have been read, whose sums are others.
fn wrong(buffer: &[u8], there: usize, sums: &[u64]) -> Vec<Range<u32>> {
    let mut wrong: Vec<Range<u32>> = Vec::new();
    for ((page, sum), number) in buffer.chunks_exact(PAGE).zip(sums).zip(0_u32..) {
        let read = (number as usize + 1) * PAGE <= there;
        if read && page_sum(page) == *sum {
            continue;
        }
        match wrong.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => wrong.push(number..number + 1),
        }
    }
    wrong
}

/// The pages `part`, counted from the file's page `offset`, to where they belong in a buffer that
/// begins there.
fn want<'m>(
    work: &Work,
    map: &'m PageMap,
    (offset, part): (u32, Range<u32>),
    wanted: &mut Wanted<'m>,
) -> Result<(), RestoreError> {
    let (first, end) = (offset + part.start, offset + part.end);
    let begin = map.runs.partition_point(|run| run.first + run.count <= first);
    for run in map.runs[begin..].iter().take_while(|run| run.first < end) {
        let skip = first.saturating_sub(run.first);
        let from = run.first + skip;
        let most = end.min(run.first + run.count) - from;
        let mut target = (from - offset) as usize * PAGE;
        for part in work.handle.block_on(work.packs.parts(map, run, skip, most))? {
            wanted.add(&map.packs[run.pack as usize], part, target);
            target += part.len as usize;
        }
    }
    Ok(())
}

/// Loaded once a file.
fn pages_of(work: &Work, large: &Large, at: MapRef) -> Result<Arc<Pages>, RestoreError> {
    let mut known = locked(&large.map);
    if let Some(pages) = &*known {
        return Ok(Arc::clone(pages));
    }
    let id = &work.manifest.packs[at.pack as usize].id;
    let pages = work.handle.block_on(async {
        let maps = work.packs.get(id).await?;
        let lineage = work.packs.lineage();
        let map = lineage.page_map(&maps, at).await?;
        let sums = match large.how {
            How::Anew => Vec::new(),
            How::ByPages => lineage.page_sums(&maps, at).await?,
        };
        Ok::<_, RestoreError>(Pages { map, sums })
    })?;
    let file = &work.manifest.files[large.index];
    let count = pages.map.pages();
    let has_sums = large.how == How::Anew || pages.sums.len() == count as usize;
    if u64::from(count) * PAGE as u64 != file.size || !has_sums {
        return Err(RestoreError::Differs(file.path.clone()));
    }
    Ok(Arc::clone(known.insert(Arc::new(pages))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which pages are wrong, one by one.
    fn pages(buffer: &[u8], there: usize, sums: &[u64]) -> Vec<u32> {
        wrong(buffer, there, sums).into_iter().flatten().collect()
    }

    #[test]
    fn pages_that_are_other_or_not_there_are_fetched() {
        let mut buffer = vec![7; 6 * PAGE];
        let mut sums: Vec<u64> = buffer.chunks(PAGE).map(page_sum).collect();
        assert!(pages(&buffer, buffer.len(), &sums).is_empty());
        // One that is cut in the middle is not there.
        assert_eq!(pages(&buffer, 4 * PAGE + 1, &sums), [4, 5]);
        assert_eq!(pages(&buffer, 0, &sums), [0, 1, 2, 3, 4, 5]);
        buffer[PAGE] = 8;
        sums[2] = 0;
        sums[5] = 0;
        assert_eq!(pages(&buffer, buffer.len(), &sums), [1, 2, 5]);
        assert_eq!(wrong(&buffer, buffer.len(), &sums), [1..3, 5..6], "fetched together");
    }

    #[test]
    fn what_cannot_be_read_is_fetched() {
        let pages = vec![7; 4 * PAGE];
        let sums: Vec<u64> = pages.chunks(PAGE).map(page_sum).collect();
        let reads = |bad: Option<u64>| {
            let (mut buffer, mut told) = (pages.clone(), None);
            let there = read(
                |part, at| match bad {
                    Some(bad) if at >= bad => Err(io::Error::from_raw_os_error(5)),
                    _ => Ok(part.len().min(PAGE)),
                },
                8192,
                &mut buffer,
                |error| told = error.raw_os_error(),
            );
            (wrong(&buffer, there, &sums), told)
        };
        assert_eq!(reads(None), (Vec::new(), None));
        assert_eq!(reads(Some(8192 * 3)), (std::iter::once(0..4).collect(), Some(5)));
    }
}
