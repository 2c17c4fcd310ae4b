//! A directory of its own for each cluster under test, and the sweep of what a killed test left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{disk, process, shared_memory};

/// All of them, so that leftovers are recognised: `/tmp/howdah-test-<pid of the test>-<n>`.
const PREFIX: &str = "howdah-test-";

/// A fresh directory below `/tmp`, reachable by the user `postgres`. On drop, every process
/// that works in it is killed and the directory is removed, unless `HOWDAH_KEEP` is set.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub fn new() -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        sweep();
        let pid = std::process::id();
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = PathBuf::from(format!("/tmp/{PREFIX}{pid}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let open = fs::Permissions::from_mode(0o755);
                    fs::set_permissions(&path, open).expect("open the scratch directory");
                    return Scratch { path };
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("make `{}`: {error}", path.display()),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        clear(&self.path, std::env::var_os("HOWDAH_KEEP").is_some());
    }
}

/// Clears directories whose test process is gone: it was killed and could not do it itself.
fn sweep() {
    let Ok(entries) = fs::read_dir("/tmp") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(pid, _)| pid.parse::<i32>().ok());
        if owner.is_some_and(|pid| !process::is_alive(pid)) && !entry.path().join("keep").exists() {
            clear(&entry.path(), false);
        }
    }
}

fn clear(path: &Path, keep: bool) {
    // What waits for a disk that hangs cannot even be killed.
    mounts_below(path).iter().for_each(|place| disk::thaw(place));
    process::kill_all(|| process::working_on(path));
    shared_memory::remove_leftovers(path);
    unmount_below(path);
    if keep {
        fs::write(path.join("keep"), "").ok();
    } else {
        fs::remove_dir_all(path).ok();
    }
}

/// A test of a full disk mounts a small file system into its directory.
fn unmount_below(path: &Path) {
    for place in mounts_below(path) {
        std::process::Command::new("umount").arg(place).status().ok();
    }
}

fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    places.filter(|place| Path::new(place).starts_with(path)).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_leaves_with_its_processes() {
        let scratch = Scratch::new();
        let path = scratch.path().to_owned();
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read line"])
            .stdin(std::process::Stdio::piped())
            .current_dir(&path)
            .spawn()
            .expect("sh starts");
        drop(scratch);
        assert!(!path.exists());
        assert!(!child.wait().expect("collected").success());
    }
}
