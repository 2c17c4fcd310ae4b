//! The System V segment that a killed postmaster leaves: PostgreSQL removes it when the same
//! directory is started again, and a test's directory never is. The system has few of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SEGMENTS: &str = "/proc/sysvipc/shm";
/// A data directory lies no deeper than this below a test's own.
const DEPTH_MAX: usize = 6;

/// Removes the segments of servers below `path`, all of which have ended.
pub fn remove_leftovers(path: &Path) {
    let segments = fs::read_to_string(SEGMENTS).unwrap_or_default();
    for file in lock_files(path, DEPTH_MAX) {
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Some(id) = leftover(&text, &segments) {
            Command::new("ipcrm").args(["-m", id]).stderr(Stdio::null()).status().ok();
        }
    }
}

fn lock_files(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let file = dir.join("postmaster.pid");
    if file.exists() {
        return vec![file];
    }
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let dirs = entries.flatten().filter(|entry| depth > 0 && is_dir(entry));
    dirs.flat_map(|entry| lock_files(&entry.path(), depth - 1)).collect()
}

/// The id that the lock file names (its seventh line, `key id`; PostgreSQL's `miscadmin.h`), if
/// it is still that server's and nobody is attached to it.
fn leftover<'a>(lock_file: &'a str, segments: &str) -> Option<&'a str> {
    let (key, id) = lock_file.lines().nth(6)?.trim().split_once(char::is_whitespace)?;
    let id = id.trim();
    // Columns: key, shmid, perms, size, cpid, lpid, nattch.
    let is_it = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let same = columns.first() == Some(&key) && columns.get(1) == Some(&id);
        same && columns.get(6) == Some(&"0")
    };
    segments.lines().any(is_it).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_own_and_unused_one_is_left_over() {
        let file = "71\n/d/data\n1763719200\n5432\n/d\n127.0.0.1\n  5391743         3\nready   \n";
        let line = |key, attached| format!("key shmid perms\n {key} 3 600 56 71 71 {attached} 0\n");
        assert_eq!(leftover(file, &line("5391743", "0")), Some("3"));
        assert_eq!(leftover(file, &line("5391743", "5")), None);
        assert_eq!(leftover(file, &line("5391744", "0")), None);
        assert_eq!(leftover("71\n/d/data\n", &line("5391743", "0")), None);
    }
}
