//! The folder of a copy: one drill at a time, closed to others, gone afterwards. What a drill that was
//! killed left, the next one removes; it knows its own by a file in it. Blocking.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::config::{PORT, SOCKET_BYTES_MAX};

/// Dropping it removes the folder.
#[derive(Debug)]
pub struct Place {
    folder: Option<PathBuf>,
    _lock: Flock<File>,
}

const LOCK: &str = "howdah-drill.lock";
/// Says that a folder is a drill's, and may go.
const MARK: &str = "howdah-drill";
/// Threads of a restore that was given up may still write for a moment.
const CLEAR_WITHIN: Duration = Duration::from_secs(20);

impl Place {
    /// A fresh folder below `scratch`.
    pub fn take(scratch: &Path) -> Result<Place, String> {
        let failed = |doing: &str, error: &dyn std::fmt::Display| {
            format!(
                "cannot {doing} the folder of drills, {error}: `{}`\nhint: name another with --scratch",
                scratch.display()
            )
        };
        let folder = scratch.join(format!("drill-{}", std::process::id()));
        let socket = folder.join("run").join(format!(".s.PGSQL.{PORT}"));
        if !scratch.is_absolute() || socket.as_os_str().len() >= SOCKET_BYTES_MAX {
            return Err(failed("use", &"a socket's path must be whole, and below 107 bytes"));
        }
        make(scratch).map_err(|error| failed("make", &error))?;
        let file =
            File::create(scratch.join(LOCK)).map_err(|error| failed("write into", &error))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
            format!("another drill is at work in `{}`\nhint: wait for it", scratch.display())
        })?;
        clear_left(scratch).map_err(|error| failed("clear", &error))?;
        make(&folder).map_err(|error| failed("write into", &error))?;
        let place = Place { folder: Some(folder.clone()), _lock: lock };
        File::create(folder.join(MARK)).map_err(|error| failed("write into", &error))?;
        make(&folder.join("run")).map_err(|error| failed("write into", &error))?;
        Ok(place)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.at("data")
    }

    /// Closed to others.
    pub fn socket_dir(&self) -> PathBuf {
        self.at("run")
    }

    pub fn tablespace(&self, oid: u32) -> PathBuf {
        self.at(&format!("tablespaces/{oid}"))
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.as_deref().unwrap_or(Path::new("/nowhere")).join(name)
    }

    /// The folder stays; no drill removes it.
    pub fn keep(mut self) -> PathBuf {
        let folder = self.folder.take().unwrap_or_default();
        // Without the mark it is nobody's any more; where that fails, the next drill takes it away.
        let _ = fs::remove_file(folder.join(MARK));
        folder
    }

    /// Removes it, and says why it could not.
    pub fn clear(mut self) -> Result<(), String> {
        match self.folder.take() {
            Some(folder) => remove(&folder),
            None => Ok(()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take()
            && let Err(error) = remove(&folder)
        {
            tracing::warn!("a drill leaves something behind, the next one removes it: {error}");
        }
    }
}

fn make(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Folders of drills that were killed: with the lock held nobody else uses them.
fn clear_left(scratch: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(scratch)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("drill-") && path.join(MARK).is_file() {
            tracing::warn!("removing what a drill left: `{}`", path.display());
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// The mark goes last, so that what is left by a failure is known.
fn remove(folder: &Path) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match remove_once(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if begun.elapsed() > CLEAR_WITHIN => {
                return Err(format!("cannot remove, {error}: `{}`", folder.display()));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn remove_once(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false if entry.file_name() == MARK => {}
            false => fs::remove_file(entry.path())?,
        }
    }
    fs::remove_file(folder.join(MARK))?;
    fs::remove_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_what_was_left_goes_and_nothing_else() {
        let scratch = std::env::temp_dir().join(format!("howdah-drill-{}", std::process::id()));
        fs::create_dir_all(scratch.join("drill-notes")).expect("made");
        fs::create_dir_all(scratch.join("drill-1/data/base")).expect("made");
        fs::write(scratch.join("drill-1").join(MARK), "").expect("written");
        let place = Place::take(&scratch).expect("taken");
        assert!(!scratch.join("drill-1").exists() && scratch.join("drill-notes").exists());
        let second = Place::take(&scratch).expect_err("busy");
        assert!(second.contains("another drill is at work"), "{second}");
        let own = place.at("run");
        assert!(own.is_dir());
        drop(place);
        assert!(!own.parent().expect("a folder").exists());
        let kept = Place::take(&scratch).expect("free again").keep();
        drop(Place::take(&scratch));
        assert!(!kept.join(MARK).exists(), "nobody's any more");
        fs::remove_dir_all(&scratch).expect("removed");
        let long = Path::new("/tmp").join("x".repeat(90));
        assert!(Place::take(&long).expect_err("too long").contains("below 107 bytes"));
    }
}
