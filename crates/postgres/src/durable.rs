//! Files that are there, whole, after a power failure.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::PgError;

/// Replaces `path`: written beside it, fsynced, renamed, and the directory fsynced. A file that
/// holds this text already is only made sure of.
///
/// # Errors
/// Whatever the file system says, with the path.
pub fn write(path: &Path, text: &str) -> Result<(), PgError> {
    write_bytes(path, text.as_bytes())
}

/// The same for what is no text.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), PgError> {
    if fs::read(path).is_ok_and(|now| now == bytes) {
        let file = File::open(path).map_err(PgError::io("open", path))?;
        file.sync_all().map_err(PgError::io("fsync", path))?;
        return sync_parent(path);
    }
    let fresh = path.with_extension("howdah-new");
    let mut file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(PgError::io("write", &fresh))?;
    file.write_all(bytes).map_err(PgError::io("write", &fresh))?;
    file.sync_all().map_err(PgError::io("fsync", &fresh))?;
    rename(&fresh, path)
}

/// Makes sure of what `path` holds; one that is not there holds nothing.
pub(crate) fn sync(path: &Path) -> Result<(), PgError> {
    match File::open(path) {
        Ok(file) => file.sync_all().map_err(PgError::io("fsync", path))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PgError::io("open", path)(error)),
    }
    sync_parent(path)
}

/// Removes `path` if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), PgError> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(PgError::io("remove", path)(error)),
    }
}

/// Removes a folder with everything in it, if it is there.
pub(crate) fn remove_tree(path: &Path) -> Result<(), PgError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(PgError::io("clear", path)(error)),
        _ => Ok(()),
    }
}

/// Renames a file, or a finished directory over an empty one.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), PgError> {
    fs::rename(from, to).map_err(|error| match error.kind() {
        ErrorKind::ResourceBusy | ErrorKind::CrossesDevices => mount_point(to),
        _ => PgError::io("rename into place", to)(error),
    })?;
    sync_parent(to)
}

/// Exchanges two directories in one step (renameat2(2)), so that at no moment there is none;
/// false where the file system cannot.
pub(crate) fn exchange(one: &Path, other: &Path) -> Result<bool, PgError> {
    match renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => sync_parent(other).map(|()| true),
        Err(Errno::EINVAL | Errno::ENOSYS) => Ok(false),
        Err(Errno::EBUSY | Errno::EXDEV) => Err(mount_point(other)),
        Err(errno) => Err(PgError::io("exchange", other)(errno.into())),
    }
}

fn mount_point(path: &Path) -> PgError {
    PgError::Unusable {
        what: format!("the data directory is itself a mount point: `{}`", path.display()),
        hint: "name a folder below it as data_dir".to_owned(),
    }
}

fn sync_parent(path: &Path) -> Result<(), PgError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(PgError::io("fsync", parent))
}
