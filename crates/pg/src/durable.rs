//! Files that are there, whole, after a power failure.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::PgError;

/// Replaces `path`: written beside it, fsynced, renamed, and the directory fsynced.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), PgError> {
    let fresh = path.with_extension("howdah-new");
    let mut file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(PgError::io("write", &fresh))?;
    file.write_all(text.as_bytes()).map_err(PgError::io("write", &fresh))?;
    file.sync_all().map_err(PgError::io("fsync", &fresh))?;
    fs::rename(&fresh, path).map_err(PgError::io("rename into place", path))?;
    sync_parent(path)
}

/// Removes `path` if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), PgError> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(PgError::io("remove", path)(error)),
    }
}

pub(crate) fn sync_parent(path: &Path) -> Result<(), PgError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(PgError::io("fsync", parent))
}
