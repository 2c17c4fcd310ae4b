//! Files that are locked by a living process: the supervisor's, a node's, the one that holds
//! off a second preparation. The kernel lets go of them when the process ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Held until dropped. Not inherited by programs that this process starts.
#[derive(Debug)]
pub struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Takes the lock and writes this process's id into the file; `None` when another process
    /// holds it.
    pub fn take(path: &Path) -> anyhow::Result<Option<Lock>> {
        match Flock::lock(open(path)?, FlockArg::LockExclusiveNonblock) {
            Ok(mut held) => {
                sign(&mut held).with_context(|| format!("write file: `{}`", path.display()))?;
                Ok(Some(Lock { _held: held }))
            }
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(error).with_context(|| format!("lock: `{}`", path.display())),
        }
    }

    /// Waits for its turn. Only for what is held for moments.
    pub fn wait_for(path: &Path) -> anyhow::Result<Lock> {
        Lock::wait_on(open(path)?, path)
    }

    /// The same for a folder itself, in which there is no file yet.
    pub fn wait_for_folder(path: &Path) -> anyhow::Result<Lock> {
        let folder =
            File::open(path).with_context(|| format!("open folder: `{}`", path.display()))?;
        Lock::wait_on(folder, path)
    }

    fn wait_on(file: File, path: &Path) -> anyhow::Result<Lock> {
        let held = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .with_context(|| format!("lock: `{}`", path.display()))?;
        Ok(Lock { _held: held })
    }

    /// Whether a living process holds the lock.
    pub fn is_held(path: &Path) -> bool {
        let Ok(file) = File::open(path) else { return false };
        // A shared lock: two processes that only look do not take each other for the holder.
        matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
    }

    /// The process that holds the lock, as it signed.
    pub fn holder(path: &Path) -> Option<i32> {
        if !Lock::is_held(path) {
            return None;
        }
        let mut text = String::new();
        File::open(path).and_then(|mut file| file.read_to_string(&mut text)).ok()?;
        text.trim().parse().ok()
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)
        .with_context(|| format!("open file: `{}`", path.display()))
}

fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_names_its_holder_and_ends_with_it() {
        let path = std::env::temp_dir().join(format!("howdah-lock-{}", std::process::id()));
        let own = i32::try_from(std::process::id()).expect("a pid");
        let lock = Lock::take(&path).expect("opened").expect("free");
        assert_eq!(Lock::holder(&path), Some(own));
        assert!(Lock::take(&path).expect("opened").is_none());
        drop(lock);
        assert_eq!(Lock::holder(&path), None);
        std::fs::remove_file(&path).expect("removed");
    }
}
