//! A machine's own disk: a file with a file system in it, mounted by a loop device. It is filled
//! up, and it is made to hang, without the machine of the test suffering from it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::fcntl::FallocateFlags;

/// A mounted file system of a test. On drop it is thawed and unmounted, and its loop device goes
/// with the mount.
#[derive(Debug)]
pub struct Disk {
    place: PathBuf,
    image: PathBuf,
    /// The write that hangs while the disk does.
    hanging: Mutex<Option<Receiver<()>>>,
    /// What gives room back as soon as it may.
    freed: Mutex<Vec<thread::JoinHandle<()>>>,
}

/// A write that takes longer is taken to hang.
const HANGS_AFTER: Duration = Duration::from_millis(800);

impl Disk {
    /// Makes a disk of `megabytes` at `place`; `None` where this process may not, which is for
    /// root.
    pub fn mount(place: &Path, megabytes: u64) -> Option<Disk> {
        let image = place.with_extension("img");
        fs::create_dir_all(place).ok()?;
        File::create(&image).and_then(|file| file.set_len(megabytes << 20)).ok()?;
        let disk = Disk {
            place: place.to_owned(),
            image,
            hanging: Mutex::new(None),
            freed: Mutex::default(),
        };
        let made = run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-F"]).arg(&disk.image))
            && run(Command::new("mount").args(["-o", "loop"]).arg(&disk.image).arg(place));
        // An empty folder is what a cluster is made in.
        fs::remove_dir(place.join("lost+found")).ok();
        made.then_some(disk)
    }

    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Takes all the room that is left, also once more. Whether a write is refused from then on, which the disk
    /// is asked and not assumed. A disk that hangs is left alone: whoever asks would hang with it.
    pub fn fill(&self) -> bool {
        if self.hangs() {
            return false;
        }
        let Ok(mut file) = File::options().create(true).append(true).open(self.filling()) else {
            return false;
        };
        // Room is taken without being written, which is quick; the last crumbs are not given so.
        if let Ok(left) = nix::sys::statvfs::fstatvfs(&file) {
            let bytes = left.blocks_available().saturating_mul(left.fragment_size());
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            nix::fcntl::fallocate(&file, FallocateFlags::empty(), 0, bytes).ok();
        }
        for block in [vec![0; 1 << 20], vec![0; 4096], vec![0; 1]] {
            loop {
                match file.write_all(&block) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        }
        file.sync_all().ok();
        self.is_full()
    }

    /// Whether a file of one block cannot be written.
    pub fn is_full(&self) -> bool {
        let probe = self.place.join("chaos.probe");
        let written = File::create(&probe)
            .and_then(|mut file| file.write_all(&[1; 4096]).and_then(|()| file.sync_all()));
        fs::remove_file(&probe).ok();
        written.is_err_and(|error| error.kind() == ErrorKind::StorageFull)
    }

    /// Gives the room back; on a disk that hangs, as soon as it does no longer.
    pub fn free(&self) {
        let filling = self.filling();
        if self.hangs() {
            let freed = thread::spawn(move || drop(fs::remove_file(filling)));
            self.freed.lock().unwrap_or_else(PoisonError::into_inner).push(freed);
        } else {
            fs::remove_file(filling).ok();
        }
    }

    fn hangs(&self) -> bool {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn filling(&self) -> PathBuf {
        self.place.join("chaos.filling")
    }

    /// From now on whoever writes to the disk or syncs it waits. Whether a write of our own does:
    /// it stays so until [`Disk::thaw`].
    pub fn freeze(&self) -> bool {
        if !run(Command::new("fsfreeze").arg("-f").arg(&self.place)) {
            return false;
        }
        let (done, seen) = mpsc::channel();
        let probe = self.place.join("chaos.probe");
        thread::spawn(move || {
            let written = File::create(&probe).and_then(|file| file.sync_all());
            fs::remove_file(&probe).ok();
            drop(written);
            done.send(()).ok();
        });
        let hangs = seen.recv_timeout(HANGS_AFTER).is_err();
        *self.hanging.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        hangs
    }

    /// An error of the disk, after which the kernel takes no more writes, for good. Whether it was
    /// told so.
    pub fn break_down(&self) -> bool {
        let strict = ["-o", "remount,errors=remount-ro"];
        if !run(Command::new("mount").args(strict).arg(&self.place)) {
            return false;
        }
        let name = ["-n", "-O", "NAME", "-j"];
        let Ok(found) = Command::new("losetup").args(name).arg(&self.image).output() else {
            return false;
        };
        let name = String::from_utf8_lossy(&found.stdout).into_owned();
        let name = name.trim().trim_start_matches("/dev/");
        fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "a test").is_ok()
    }

    /// The disk goes on; whether the write that hung is done now.
    pub fn thaw(&self) -> bool {
        thaw(&self.place);
        for freed in self.freed.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            freed.join().ok();
        }
        let hanging = self.hanging.lock().unwrap_or_else(PoisonError::into_inner).take();
        hanging.is_none_or(|seen| seen.recv_timeout(Duration::from_secs(10)).is_ok())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.thaw();
        self.free();
        run(Command::new("umount").arg(&self.place));
    }
}

/// Undoes a freeze, of a mount that was left behind too.
pub(crate) fn thaw(place: &Path) {
    run(Command::new("fsfreeze").arg("-u").arg(place));
}

fn run(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;

    #[test]
    fn a_disk_is_full_and_hangs_only_while_it_is_told_to() {
        let scratch = Scratch::new();
        let place = scratch.path().join("disk");
        let Some(disk) = Disk::mount(&place, 32) else { return };
        assert!(!disk.is_full());
        assert!(disk.fill(), "a write is refused");
        disk.free();
        assert!(!disk.is_full(), "there is room again");
        assert!(disk.freeze(), "a write hangs");
        assert!(!disk.fill(), "nobody waits for a disk that hangs");
        disk.free();
        assert!(disk.thaw(), "it is done");
        drop(disk);
        let mounts = fs::read_to_string("/proc/self/mounts").expect("read the mounts");
        assert!(!mounts.contains(&place.display().to_string()), "{mounts}");
    }
}
