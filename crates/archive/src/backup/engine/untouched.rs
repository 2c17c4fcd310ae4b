//! Files that WAL says nothing of: kept as the earlier backup has them, and not read but for a sample.
//!
//! The sample is the audit: a page that has changed without WAL was changed by a disk, by somebody's
//! hand, or by `pg_checksums`. Then the whole file is read and compared, and it is told. Servers of one
//! cluster differ in hints, and without `wal_log_hints` and checksums one differs from itself: that is
//! read and compared, too, and not worth a word.

use std::fs::{File, metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use howdah_repo::manifest::{About, BadPage, Content, MapRef};
use howdah_repo::page_map::page_sum;

use super::BackupError;
use super::copy::{Copied, Stored, Work};
use super::earlier::EarlierPages;
use super::read::{self, Judge};
use crate::backup::page::{self, PAGE};

/// Pages that are looked at together.
const STRETCH: u32 = 16;

/// What tells a data directory from those of other nodes, in the label of a backup from it.
pub fn place(data_dir: &Path) -> io::Result<String> {
    let version = metadata(data_dir.join("PG_VERSION"))?;
    Ok(format!(" of {}-{}", metadata(data_dir)?.ino(), version.ino()))
}

/// Whether a backup was taken from this data directory.
pub fn is_of(earlier: &About, data_dir: &Path) -> bool {
    let mut lines = earlier.backup_label.lines();
    let label = lines.find_map(|line| line.strip_prefix("LABEL: "));
    let place = place(data_dir);
    label.is_some_and(|label| place.is_ok_and(|place| label.ends_with(&place)))
}

/// What may be kept without a look at all of it.
pub fn is_left(work: &Work, index: usize) -> bool {
    let entry = &work.entries[index];
    let (Some(changes), Some(earlier)) = (&work.changes, &work.earlier) else { return false };
    let Some(file) = earlier.file(&entry.path) else { return false };
    let pages = u32::try_from(entry.size / PAGE as u64).unwrap_or(u32::MAX);
    entry.pages
        && file.size == entry.size
        && matches!(file.content, Content::Pages(MapRef { .. }))
        && changes.leaves(&entry.path, pages, work.pages_per_file)
}

/// Keeps it; `false`: the sample has changed, and all of it has to be read.
pub fn keep(work: &Work, index: usize, buffer: &mut [u8]) -> Result<bool, BackupError> {
    let entry = &work.entries[index];
    let Some(file) = read::open(&work.data_dir.join(&entry.path))? else { return Ok(true) };
    let Some(earlier) = &work.earlier else { return Ok(false) };
    let hash = earlier.file(&entry.path).map(|file| file.hash);
    let pages = work.handle.block_on(earlier.pages(&entry.path))?;
    let (Some(pages), Some(hash)) = (pages, hash) else { return Ok(false) };
    // Cut off since, or made longer.
    if file.metadata()?.len() != entry.size || !is_sound(work, index, &file, &pages, buffer)? {
        return Ok(false);
    }
    let EarlierPages { at, map_pack, map, .. } = pages;
    work.told(entry.size);
    work.add(Copied {
        path: entry.path.clone(),
        size: entry.size,
        mode: entry.mode,
        mtime_ms: entry.mtime_ms,
        hash,
        content: Stored::Pages { map: map_pack, runs: at.runs, sums: at.sums, packs: map.packs },
    });
    Ok(true)
}

/// Whether the sample is what the earlier backup has.
fn is_sound(
    work: &Work,
    index: usize,
    file: &File,
    pages: &EarlierPages,
    buffer: &mut [u8],
) -> Result<bool, BackupError> {
    let path = &work.entries[index].path;
    let count = u32::try_from(pages.sums.len()).unwrap_or(u32::MAX);
    let judge = Judge::of(path, work.start, work.pages_per_file);
    for stretch in sample(work, path, count.div_ceil(STRETCH)) {
        let first = stretch * STRETCH;
        let end = (first + STRETCH).min(count);
        let bytes = &mut buffer[..(end - first) as usize * PAGE];
        work.throttle.pass(bytes.len() as u64, &work.stop)?;
        let have = read::fill(file, u64::from(first) * PAGE as u64, bytes)?;
        // One that is half written is read once more.
        judge.look(file, first, have, bytes)?;
        let (read, _) = bytes.as_chunks::<PAGE>();
        for (bytes, number) in read.iter().zip(first..end) {
            if page_sum(bytes) == pages.sums[number as usize] {
                continue;
            }
            // Written since this backup began: its WAL brings it.
            if work.tells_silent && page::lsn(bytes) < work.start {
                work.add_silent(BadPage { path: path.clone(), page: number });
            }
            return Ok(false);
        }
    }
    Ok(true)
}

/// So many of a hundred stretches, and one of each file at least; other ones for each backup.
fn sample(work: &Work, path: &str, stretches: u32) -> impl Iterator<Item = u32> {
    let seed = page_sum(format!("{}/{path}", work.label).as_bytes());
    let always = u32::try_from(seed % u64::from(stretches.max(1))).unwrap_or(0);
    let percent = u64::from(work.audit_percent);
    (0..stretches).filter(move |stretch| {
        let mixed = page_sum(&(seed ^ u64::from(*stretch)).to_le_bytes());
        *stretch == always || mixed % 100 < percent
    })
}
