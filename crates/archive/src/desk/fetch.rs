//! One WAL file out of the repository, as a `restore_command` needs it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use howdah_base::{History, WalFile};
use howdah_repo::{Lineage, RepoError};

/// A file as it is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    pub bytes: Vec<u8>,
    /// It will never be another: a history, or a whole segment.
    pub is_final: bool,
}

/// A segment, or a history. `size`: bytes of a segment.
///
/// # Errors
/// [`RepoError::Absent`] only when the storage has said so.
pub async fn fetch(lineage: &Lineage, name: &WalFile, size: u32) -> Result<Fetched, RepoError> {
    match name.as_str().ends_with(".history").then(|| name.timeline()).flatten() {
        Some(timeline) => {
            let bytes = lineage.get_history(timeline).await?;
            Ok(Fetched { bytes, is_final: true })
        }
        None => segment(lineage, name, size).await,
    }
}

/// Whole, or as far as it is there and zeros behind: PostgreSQL ends recovery where no record is. It
/// asks for the segment of a fork on the newer timeline, which may have come less far than the older.
async fn segment(lineage: &Lineage, name: &WalFile, size: u32) -> Result<Fetched, RepoError> {
    let segment = lineage.get_segment(name, size).await?;
    let mut bytes = segment.bytes;
    if !segment.whole
        && let Some((older, fork)) = fork_within(lineage, name, size).await?
        && bytes.len() < fork
    {
        let file = lineage.get_segment(&older, size).await?;
        if file.bytes.len() >= fork {
            bytes = file.bytes;
            bytes.truncate(fork);
        }
    }
    bytes.resize(size as usize, 0);
    Ok(Fetched { bytes, is_final: segment.whole })
}

/// The same segment of the timeline before, and how many bytes of it are this one's too.
async fn fork_within(
    lineage: &Lineage,
    name: &WalFile,
    size: u32,
) -> Result<Option<(WalFile, usize)>, RepoError> {
    let size = u64::from(size);
    let (Some(start), Some(timeline)) = (name.start(size), name.timeline()) else {
        return Ok(None);
    };
    let text = match lineage.get_history(timeline).await {
        Err(RepoError::Absent { .. }) => return Ok(None),
        text => text?,
    };
    let history = History::parse(timeline, &String::from_utf8_lossy(&text)).ok();
    let last = history.and_then(|history| history.forks.last().copied());
    let within = last.filter(|(_, fork)| *fork > start && fork.0 < start.0 + size);
    Ok(within.and_then(|(older, fork)| {
        let bytes = usize::try_from(fork.bytes_past(start)).ok()?;
        Some((WalFile::of(older, start, size), bytes))
    }))
}

/// Whole, or not at all. PostgreSQL flushes it to disk before it relies on it, as it does with whatever
/// a `restore_command` brings (`KeepFileRestoredFromArchive`). Blocking.
pub fn put_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("howdah-part");
    let said = |error: io::Error, at: &Path| {
        io::Error::new(error.kind(), format!("write: `{}`: {error}", at.display()))
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&part).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| said(error, &part))?;
    fs::rename(&part, path).map_err(|error| said(error, path))
}
