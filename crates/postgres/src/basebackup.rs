//! A standby's directory as a copy of the leader's, or of another standby's.

use std::path::{Path, PathBuf};

use crate::directory::{self, DirectoryFile};
use crate::initdb::{beside, blocking};
use crate::install::Install;
use crate::{PgError, durable, program};

const MAKING: &str = "copying";
const OLD: &str = "old";

/// From where, to where, and as what.
#[derive(Clone, Copy, Debug)]
pub struct Copy<'a> {
    /// A libpq connection string.
    pub source: &'a str,
    /// The leader's slot that keeps the WAL from the copy's beginning on. A copy from a standby
    /// has none there: pg_basebackup uses a temporary one, and the leader's keeps the rest.
    pub slot: Option<&'a str>,
    pub data_dir: &'a Path,
    pub state_dir: &'a Path,
    /// The identity of the new directory.
    pub file: &'a DirectoryFile,
}

/// pg_basebackup beside the place, then into it. A directory that is there is exchanged for the
/// complete copy and removed last. Dropping the future ends the copy; the next one cleans up.
pub async fn run(install: &Install, copy: &Copy<'_>) -> Result<(), PgError> {
    let making = begin(copy.data_dir).await?;
    let target = making.display().to_string();
    let mut arguments = vec![
        "--dbname",
        copy.source,
        "--pgdata",
        &target,
        "--wal-method=stream",
        "--checkpoint=fast",
        "--no-password",
        // Nobody verifies it, and it would lie about the files that are made our own.
        "--no-manifest",
    ];
    arguments.extend(copy.slot.iter().flat_map(|slot| ["--slot", *slot]));
    program::run(install, "pg_basebackup", &arguments).await?;
    finish(copy.data_dir, copy.state_dir, copy.file).await
}

/// Where a directory is made that is to take the place of `data_dir`: beside it, and nothing is there.
pub async fn begin(data_dir: &Path) -> Result<PathBuf, PgError> {
    let making = beside(data_dir, MAKING);
    // Of an interrupted copy, and of an interrupted rewind.
    let left = [making.clone(), beside(data_dir, OLD), beside(data_dir, "log")];
    blocking(move || left.iter().try_for_each(|path| durable::remove_tree(path))).await?;
    Ok(making)
}

/// What was made there is complete: it gets its identity, and the place.
pub async fn finish(
    data_dir: &Path,
    state_dir: &Path,
    file: &DirectoryFile,
) -> Result<(), PgError> {
    let (making, old) = (beside(data_dir, MAKING), beside(data_dir, OLD));
    let (file, data_dir) = (file.clone(), data_dir.to_owned());
    let state_dir = state_dir.to_owned();
    blocking(move || {
        make_own(&making, &file)?;
        put_in_place(&making, &data_dir, &old)?;
        directory::mark_usable(&state_dir)
    })
    .await
}

/// What tells of the source must not be taken for this directory's own.
fn make_own(making: &Path, file: &DirectoryFile) -> Result<(), PgError> {
    durable::remove_tree(&making.join("log"))?;
    directory::write_file(making, file)
}

fn put_in_place(making: &Path, data_dir: &Path, old: &Path) -> Result<(), PgError> {
    if !data_dir.exists() {
        return durable::rename(making, data_dir);
    }
    if durable::exchange(making, data_dir)? {
        return durable::remove_tree(making);
    }
    // In between there is no directory: a crash there costs another copy.
    durable::rename(data_dir, old)?;
    durable::rename(making, data_dir)?;
    durable::remove_tree(old)
}
