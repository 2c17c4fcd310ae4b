//! Files of keys and certificates: whole or absent after a crash, and never open to others.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};

use crate::TlsError;

/// PostgreSQL refuses a key that others may read ("private key file has group or world access").
pub const KEY_MODE: u32 = 0o600;
pub const CERTIFICATE_MODE: u32 = 0o644;
/// Largest file that is read here, in bytes: a chain of a few certificates has a tenth.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Who shall own a file, where `howdah up` runs as root and the node does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Writes `text` so that a crash leaves either the old file or the new one, and so that at no
/// moment another user can open a key.
pub fn write(path: &Path, text: &str, mode: u32, owner: Option<Owner>) -> Result<(), TlsError> {
    let fresh = fresh_name(path);
    remove_if_there(&fresh)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode & KEY_MODE)
        .open(&fresh)
        .map_err(TlsError::file("create", &fresh))?;
    file.write_all(text.as_bytes()).map_err(TlsError::file("write", &fresh))?;
    if let Some(owner) = owner {
        fchown(&file, Some(owner.uid), Some(owner.gid))
            .map_err(TlsError::file("change the owner of", &fresh))?;
    }
    file.set_permissions(Permissions::from_mode(mode))
        .map_err(TlsError::file("set the mode of", &fresh))?;
    file.sync_all().map_err(TlsError::file("sync", &fresh))?;
    fs::rename(&fresh, path).map_err(TlsError::file("rename to", path))?;
    sync_directory_of(path)
}

/// Makes the directory, open for reading: certificates are public, keys guard themselves.
pub fn make_directory(path: &Path) -> Result<(), TlsError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(TlsError::file("create the directory", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
        .map_err(TlsError::file("set the mode of", path))?;
    sync_directory_of(path)
}

/// The text of a certificate file; `None` when there is none.
pub fn read(path: &Path) -> Result<Option<String>, TlsError> {
    open(path)?.map(|file| read_all(file, path)).transpose()
}

/// The text of a key file; `None` when there is none. A key that others may read is an error:
/// it may already be in other hands, so a person must look.
pub fn read_key(path: &Path) -> Result<Option<String>, TlsError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mode = file.metadata().map_err(TlsError::file("inspect", path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(TlsError::KeyMode { path: path.to_owned(), mode });
    }
    read_all(file, path).map(Some)
}

/// Gives an existing file to `owner`, if it is not theirs yet.
pub fn give(path: &Path, owner: Owner) -> Result<(), TlsError> {
    let now = fs::metadata(path).map_err(TlsError::file("inspect", path))?;
    if (now.uid(), now.gid()) == (owner.uid, owner.gid) {
        return Ok(());
    }
    chown(path, Some(owner.uid), Some(owner.gid))
        .map_err(TlsError::file("change the owner of", path))
}

fn open(path: &Path) -> Result<Option<File>, TlsError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TlsError::file("open", path)(error)),
    }
}

fn read_all(file: File, path: &Path) -> Result<String, TlsError> {
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(TlsError::file("read", path))?;
    Ok(text)
}

fn remove_if_there(path: &Path) -> Result<(), TlsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(TlsError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn sync_directory_of(path: &Path) -> Result<(), TlsError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(TlsError::file("sync the directory", parent))
}

/// `n1.key.new` beside `n1.key`: certificate and key never share a name.
fn fresh_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}
