//! The directory that is restored into: whose it is, that no server runs on it, and that none is started
//! before the restore is done. Blocking.
//!
//! ```text
//! mark, held ─► pg_control aside ─► … files … ─► pg_control ─► no mark
//! ```
//! A restore that was interrupted leaves the mark and no pg_control: no server starts there, and the
//! next restore knows it again.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use howdah_postgres::control;
use nix::fcntl::{Flock, FlockArg};

use super::RestoreError;
use crate::backup::scan::CONTROL;

/// Says that a restore has begun here, and of which system.
pub const MARK: &str = "howdah-restore";
/// The directory's own pg_control, until nothing of it is needed.
const CONTROL_ASIDE: &str = "global/pg_control.howdah-old";

/// The mark, held until it is dropped; it stays unless [`Ground::done`] is called.
#[derive(Debug)]
pub struct Ground {
    data_dir: PathBuf,
    _held: Flock<File>,
}

impl Ground {
    /// Begins: from here on no server starts in `data_dir`, which is there.
    pub fn take(data_dir: &Path, system: u64) -> Result<Ground, RestoreError> {
        let path = data_dir.join(MARK);
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(RestoreError::io("open", &path))?;
        let held = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| RestoreError::Busy(data_dir.to_owned()))?;
        let text = format!("{WORD}{system}\n");
        let written = held.write_all_at(text.as_bytes(), 0).and_then(|()| held.sync_all());
        written.map_err(RestoreError::io("write", &path))?;
        sync(data_dir)?;
        let ground = Ground { data_dir: data_dir.to_owned(), _held: held };
        ground.put_control_aside()?;
        Ok(ground)
    }

    /// A server that was started between the look and this is left as it is.
    fn put_control_aside(&self) -> Result<(), RestoreError> {
        let (path, aside) = (self.data_dir.join(CONTROL), self.data_dir.join(CONTROL_ASIDE));
        match fs::rename(&path, &aside) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(RestoreError::io("rename", &path)(error)),
        }
        if let Err(running) = no_server(&self.data_dir) {
            fs::rename(&aside, &path).map_err(RestoreError::io("rename", &aside))?;
            return Err(running);
        }
        sync(&self.data_dir.join("global"))
    }

    /// There is no way back to what the directory was.
    pub fn forget_control(&self) -> Result<(), RestoreError> {
        let aside = self.data_dir.join(CONTROL_ASIDE);
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(RestoreError::io("remove", &aside)(error))
            }
            _ => Ok(()),
        }
    }

    /// Everything is there, pg_control too.
    pub fn done(self) -> Result<(), RestoreError> {
        unmark(&self.data_dir)
    }
}

/// What was restored into `data_dir` is what it was to become.
pub fn unmark(data_dir: &Path) -> Result<(), RestoreError> {
    let path = data_dir.join(MARK);
    fs::remove_file(&path).map_err(RestoreError::io("remove", &path))?;
    sync(data_dir)
}

pub fn is_marked(data_dir: &Path) -> bool {
    data_dir.join(MARK).is_file()
}

const WORD: &str = "howdah restore 1, system ";

/// Whether a restore may go over what lies in `data_dir`: that system's directory, with no server.
/// `force`: also one that does not say whose it is.
///
/// # Errors
/// It may not; nothing was touched.
pub fn judge(data_dir: &Path, system: u64, force: bool) -> Result<(), RestoreError> {
    no_server(data_dir)?;
    let known = marked(data_dir)?.or(of_control(data_dir)?);
    match known {
        Some(theirs) if theirs == system => Ok(()),
        Some(theirs) => {
            Err(RestoreError::OtherSystem { place: data_dir.to_owned(), theirs, ours: system })
        }
        None if !data_dir.join("PG_VERSION").is_file() => {
            Err(RestoreError::NoDirectory(data_dir.to_owned()))
        }
        None if force => Ok(()),
        None => Err(RestoreError::Unknown(data_dir.to_owned())),
    }
}

/// The system whose restore was interrupted here.
fn marked(data_dir: &Path) -> Result<Option<u64>, RestoreError> {
    let path = data_dir.join(MARK);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.strip_prefix(WORD).and_then(|system| system.trim().parse().ok())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RestoreError::io("read", &path)(error)),
    }
}

/// `ControlFileData` begins with the system identifier, in every version.
fn of_control(data_dir: &Path) -> Result<Option<u64>, RestoreError> {
    let path = data_dir.join(CONTROL);
    match fs::read(&path) {
        Ok(bytes) if control::is_whole(&bytes) => {
            Ok(bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RestoreError::io("read", &path)(error)),
    }
}

/// All processes of a server work in its data directory, also those that a postmaster which was killed
/// has left behind.
pub fn no_server(data_dir: &Path) -> Result<(), RestoreError> {
    let place = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    let running = |pid: i32| RestoreError::Running { place: data_dir.to_owned(), pid };
    for entry in fs::read_dir("/proc").map_err(RestoreError::io("read", Path::new("/proc")))? {
        let Some(pid) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse().ok())
        else {
            continue;
        };
        let is_there = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|at| at == place);
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if is_there && name.starts_with("post") {
            return Err(running(pid));
        }
    }
    // Of another user's server only its own word can be read.
    let text = fs::read_to_string(data_dir.join("postmaster.pid")).unwrap_or_default();
    let pid = text.lines().next().and_then(|pid| pid.trim().parse::<i32>().ok());
    let hidden = |pid: &i32| {
        let looked = fs::read_link(format!("/proc/{pid}/cwd"));
        looked.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    pid.filter(hidden).map_or(Ok(()), |pid| Err(running(pid)))
}

fn sync(folder: &Path) -> Result<(), RestoreError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(RestoreError::io("fsync", folder))
}
