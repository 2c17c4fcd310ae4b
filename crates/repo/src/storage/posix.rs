//! A directory as storage. What it says is written is there, whole, after a power failure.
//!
//! An object is written beside its name, fsynced, linked to its name (link(2) never overwrites,
//! and is one step), and its directory is fsynced. Files are 0600, folders 0700.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::Bytes;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::driver::{Created, Driver, Fault, Listed};
use super::staged;
use crate::direct;
use crate::name::MARKER;

#[derive(Debug)]
pub(super) struct Posix {
    root: PathBuf,
}

impl Posix {
    pub(super) fn new(root: PathBuf) -> Posix {
        Posix { root }
    }

    /// File systems block; a network's may block for good, which is why the caller has a bound
    /// and this has a thread.
    async fn blocking<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let (root, path) = (self.root.clone(), self.root.join(name));
        match tokio::task::spawn_blocking(move || work(&root, &path)).await {
            Ok(done) => done.map_err(|error| fault(&error)),
            Err(error) => Err(Fault::Passing(error.to_string())),
        }
    }
}

#[async_trait]
impl Driver for Posix {
    async fn create(&self, name: &str, content: Bytes) -> Result<Created, Fault> {
        let made = may_be_first(name);
        let created = self.blocking(name, move |root, path| {
            if !made && !root.join(MARKER).is_file() {
                let what =
                    format!("`{MARKER}` is not there: the repository is gone, or not mounted");
                return Err(io::Error::new(ErrorKind::InvalidInput, what));
            }
            create(root, path, &content)
        });
        let created = created.await;
        // An expiry removed the folder when it had become empty: it is made again.
        created.map_err(|fault| match fault {
            Fault::Absent => Fault::Passing("its folder is not there".to_owned()),
            other => other,
        })
    }

    async fn get(&self, name: &str, most: u64) -> Result<Bytes, Fault> {
        self.blocking(name, move |_, path| {
            let size = fs::metadata(path)?.len();
            if size > most {
                let what = format!("{size} bytes are more than any object has");
                return Err(io::Error::new(ErrorKind::InvalidInput, what));
            }
            read_range(path, 0..size)
        })
        .await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Fault> {
        self.blocking(name, move |_, path| read_range(path, range)).await
    }

    async fn head(&self, name: &str) -> Result<u64, Fault> {
        self.blocking(name, |_, path| {
            let found = fs::metadata(path)?;
            if found.is_file() { Ok(found.len()) } else { Err(ErrorKind::NotFound.into()) }
        })
        .await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>, Fault> {
        let after = after.map(str::to_owned);
        self.blocking(folder, move |root, path| {
            let mut found = Vec::new();
            walk(root, path, Walk { deep: true, staged: false }, &mut found)?;
            if let Some(after) = after {
                found.retain(|listed| listed.name > after);
            }
            Ok(found)
        })
        .await
    }

    async fn files(&self, folder: &str) -> Result<Vec<Listed>, Fault> {
        self.blocking(folder, |root, path| {
            let mut found = Vec::new();
            walk(root, path, Walk { deep: false, staged: false }, &mut found)?;
            Ok(found)
        })
        .await
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, Fault> {
        self.blocking(folder, |_, path| {
            let entries = entries(path)?.into_iter();
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
            Ok(folders.filter_map(|entry| entry.file_name().into_string().ok()).collect())
        })
        .await
    }

    async fn delete(&self, name: &str) -> Result<(), Fault> {
        self.blocking(name, |root, path| {
            fs::remove_file(path)?;
            sync(parent(path))?;
            remove_empty(root, parent(path));
            Ok(())
        })
        .await
    }

    async fn sweep(&self, before_ms: i64) -> Result<u64, Fault> {
        self.blocking("", move |root, _| {
            let mut found = Vec::new();
            walk(root, root, Walk { deep: true, staged: true }, &mut found)?;
            found.retain(|listed| listed.modified_ms < before_ms);
            for listed in &found {
                unless_gone(fs::remove_file(root.join(&listed.name)))?;
            }
            Ok(found.len() as u64)
        })
        .await
    }
}

/// What a walk through folders looks for.
#[derive(Clone, Copy)]
struct Walk {
    deep: bool,
    /// What is still being written, instead of what is there.
    staged: bool,
}

/// Whether it may be written where there is no repository yet. All else would go below the place where one is
/// to be mounted, and count as kept.
fn may_be_first(name: &str) -> bool {
    name == MARKER || name.starts_with("probes/")
}

fn create(root: &Path, path: &Path, content: &[u8]) -> io::Result<Created> {
    if path.exists() {
        return already_there(path);
    }
    make_folder(root, parent(path))?;
    let fresh = parent(path).join(staged::fresh_name());
    let written = write_new(&fresh, content).and_then(|()| put_in_place(&fresh, path));
    // Under its own name it stays; this name was only for the way there.
    fs::remove_file(&fresh).ok();
    match written {
        Ok(()) => sync(parent(path)).map(|()| Created::New),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => already_there(path),
        Err(error) => Err(error),
    }
}

/// Who wrote it may not have come to its fsync; whoever is told that it exists relies on it.
fn already_there(path: &Path) -> io::Result<Created> {
    File::open(path)?.sync_all()?;
    sync(parent(path))?;
    Ok(Created::Exists)
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    direct::write_whole(&file, path, content)?;
    file.sync_all()
}

/// Some file systems (CIFS, some of FUSE) know no links; a rename that replaces nothing does too.
fn put_in_place(fresh: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(fresh, path) {
        Err(error) if no_links(&error) => {
            renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RenameFlags::RENAME_NOREPLACE)
                .map_err(io::Error::from)
        }
        done => done,
    }
}

fn no_links(error: &io::Error) -> bool {
    let known = error.raw_os_error().map(Errno::from_raw);
    matches!(known, Some(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EMLINK))
}

/// Makes `folder` and what is missing above it, each one durable in the one above.
fn make_folder(root: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    // What lies above the root is the machine's, and no folder of ours.
    if folder != root && folder.starts_with(root) {
        make_folder(root, parent(folder))?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync(parent(folder)),
    }
}

fn read_range(path: &Path, range: Range<u64>) -> io::Result<Bytes> {
    let file = File::open(path)?;
    let there = file.metadata()?.len();
    // The length is bounded by what is there, whatever was asked for.
    let end = range.end.min(there);
    let len = usize::try_from(end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let mut found = vec![0; len];
    file.read_exact_at(&mut found, range.start)?;
    Ok(found.into())
}

fn walk(root: &Path, folder: &Path, how: Walk, found: &mut Vec<Listed>) -> io::Result<()> {
    for entry in entries(folder)? {
        let path = entry.path();
        // Removed since it was listed: as if it had been removed before.
        let Some(about) = unless_gone(entry.metadata())? else { continue };
        if about.is_dir() {
            if how.deep {
                walk(root, &path, how, found)?;
            }
        } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str)
            && staged::is_staged(name) == how.staged
        {
            let modified = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let modified_ms = i64::try_from(modified.as_millis()).unwrap_or(i64::MAX);
            found.push(Listed { name: name.to_owned(), size: about.len(), modified_ms });
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match unless_gone(fs::read_dir(folder))? {
        Some(entries) => entries.collect(),
        None => Ok(Vec::new()),
    }
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Empty folders would be listed for ever. One that is not empty stays, whoever fills it.
fn remove_empty(root: &Path, folder: &Path) {
    let mut folder = folder;
    while folder != root && folder.starts_with(root) && fs::remove_dir(folder).is_ok() {
        folder = parent(folder);
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn fault(error: &io::Error) -> Fault {
    match error.kind() {
        ErrorKind::NotFound => Fault::Absent,
        ErrorKind::PermissionDenied
        | ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::InvalidInput
        | ErrorKind::InvalidFilename => Fault::Refused(error.to_string()),
        _ => Fault::Passing(error.to_string()),
    }
}
