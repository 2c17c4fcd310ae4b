//! A standby's directory as a copy of the leader's.

use std::path::Path;

use tokio::fs;

use crate::directory::{self, DirectoryFile};
use crate::initdb::{beside, clear, place};
use crate::install::Install;
use crate::{PgError, program};

/// From where, to where, and as what.
#[derive(Clone, Copy, Debug)]
pub struct Copy<'a> {
    /// A libpq connection string.
    pub source: &'a str,
    /// The slot that keeps the WAL from the copy's beginning on.
    pub slot: &'a str,
    pub data_dir: &'a Path,
    pub state_dir: &'a Path,
    /// The identity of the new directory.
    pub file: &'a DirectoryFile,
}

/// pg_basebackup beside the place, then into it. A directory that is there is put aside first
/// and removed last.
pub async fn run(install: &Install, copy: &Copy<'_>) -> Result<(), PgError> {
    let making = beside(copy.data_dir, "copying");
    clear(&making).await?;
    let target = making.display().to_string();
    let arguments = [
        "--dbname",
        copy.source,
        "--pgdata",
        &target,
        "--wal-method=stream",
        "--slot",
        copy.slot,
        "--checkpoint=fast",
        "--no-password",
    ];
    program::run(install, "pg_basebackup", &arguments).await?;
    directory::write_file(&making, copy.file)?;
    let old = beside(copy.data_dir, "old");
    clear(&old).await?;
    if fs::try_exists(copy.data_dir).await.unwrap_or(false) {
        fs::rename(copy.data_dir, &old).await.map_err(PgError::io("put aside", copy.data_dir))?;
    }
    place(&making, copy.data_dir).await?;
    directory::mark_usable(copy.state_dir)?;
    clear(&old).await
}
