//! What one process writes the others hear of at once: whoever has written changes a byte of a file
//! beside the store, and the kernel tells those who wait for it (inotify(7)).
//!
//! It is rung behind the commit: a change of SQLite's own files would be told before the commit can
//! be seen. A ring that is lost costs no more than a look at the store at the next of its hours.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// The side of those who write.
#[derive(Debug)]
pub(super) struct Bell(Option<File>);

impl Bell {
    /// Without a bell the store works all the same.
    pub fn of(path: &Path) -> Bell {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        Bell(options.open(path).inspect_err(|error| missing(path, error)).ok())
    }

    pub fn ring(&self) {
        // The others look by themselves, only later.
        let _ = self.0.as_ref().map(|file| file.write_at(b"!", 0));
    }
}

/// The side of those who wait.
#[derive(Debug)]
pub(super) struct Ear(Option<Inotify>);

impl Ear {
    pub fn on(path: &Path) -> Ear {
        let listen = || {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            inotify.add_watch(path, AddWatchFlags::IN_MODIFY)?;
            Ok::<_, nix::errno::Errno>(inotify)
        };
        Ear(listen().inspect_err(|error| missing(path, error)).ok())
    }

    /// Waits until it rings, at most so long.
    pub fn wait(&self, at_most: Duration) {
        let Some(inotify) = &self.0 else { return std::thread::sleep(at_most) };
        let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
        let mut bell = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        // Interrupted, it is looked once too often.
        if poll(&mut bell, timeout) == Ok(1) {
            let _ = inotify.read_events();
        }
    }
}

fn missing(path: &Path, error: &impl std::fmt::Display) {
    tracing::warn!("`{}`: {error}; other nodes' writes are noticed a little later", path.display());
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_ring_ends_a_wait_and_is_heard_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("store.bell");
        let bell = Bell::of(&path);
        let ear = Ear::on(&path);
        bell.ring();
        bell.ring();
        let begun = Instant::now();
        ear.wait(Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(30), "it was heard");
        let begun = Instant::now();
        ear.wait(Duration::from_millis(20));
        assert!(begun.elapsed() >= Duration::from_millis(20), "both were heard at once");
    }

    #[test]
    fn without_a_bell_one_waits_for_the_hour() {
        let nowhere = Path::new("/proc/nowhere/store.bell");
        Bell::of(nowhere).ring();
        let begun = Instant::now();
        Ear::on(nowhere).wait(Duration::from_millis(20));
        assert!(begun.elapsed() >= Duration::from_millis(20));
    }
}
