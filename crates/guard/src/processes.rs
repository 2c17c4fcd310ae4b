//! Which processes belong to the instance, read from `/proc`, and the end of all of them.
//!
//! A process belongs when it descends from the guard (the subreaper, so orphans come to it), or
//! when it is a PostgreSQL process that stands in the data directory: that finds what a killed
//! guard left behind. An operator's shell in that directory is neither.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::GuardError;

/// Between two rounds of killing.
pub const KILL_EVERY: Duration = Duration::from_millis(10);
/// One look at `/proc` can miss a process forked behind its back; two in a row do not.
const LOOKS_TO_BE_SURE: u32 = 2;
const RESOLVE_WITHIN: Duration = Duration::from_millis(200);

/// Kills every PostgreSQL process that stands in `data_dir` until none is left, at most
/// `timeout`; gives how many it killed. For when the guard itself is dead or frozen.
///
/// `data_dir` may be a symbolic link, but on a disk that hangs only its canonical path is found.
pub fn sweep(data_dir: &Path, timeout: Duration) -> Result<usize, GuardError> {
    let data_dir = resolve(data_dir);
    let deadline = Instant::now() + timeout;
    let mut killed = HashSet::new();
    let mut empty_looks = 0;
    loop {
        let alive = alive(&data_dir, None);
        empty_looks = if alive.is_empty() { empty_looks + 1 } else { 0 };
        if empty_looks == LOOKS_TO_BE_SURE {
            return Ok(killed.len());
        }
        kill_all(&alive);
        killed.extend(alive.iter().copied());
        if Instant::now() >= deadline {
            let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            return Err(GuardError::Survivors { pids: alive, ms });
        }
        if !alive.is_empty() {
            std::thread::sleep(KILL_EVERY);
        }
    }
}

/// The PostgreSQL processes that stand in `data_dir`.
pub fn survivors(data_dir: &Path) -> Vec<i32> {
    alive(&resolve(data_dir), None)
}

/// The path as `/proc/PID/cwd` would show it. Resolving reads the disk, and a disk that hangs is
/// one reason to kill: after a moment the path is taken as it was given.
pub fn resolve(data_dir: &Path) -> PathBuf {
    let (found, wait) = mpsc::channel();
    let given = data_dir.to_owned();
    std::thread::spawn(move || found.send(fs::canonicalize(given)));
    match wait.recv_timeout(RESOLVE_WITHIN) {
        Ok(Ok(canonical)) => canonical,
        _ => data_dir.to_owned(),
    }
}

/// Living processes of the instance: descendants of `ancestor`, and PostgreSQL processes that
/// stand in `data_dir` (compared as text: the disk may hang). Never this process itself.
pub fn alive(data_dir: &Path, ancestor: Option<i32>) -> Vec<i32> {
    let everything = all();
    let family = ancestor.map(|pid| descendants(pid, &everything)).unwrap_or_default();
    let own = Pid::this().as_raw();
    let belongs = |pid: i32| family.contains(&pid) || stands_in(pid, data_dir);
    let living = everything.iter().filter(|p| p.alive && p.pid != own);
    living.map(|process| process.pid).filter(|pid| belongs(*pid)).collect()
}

/// The direct children, by one read (proc_pid_task_children(5)): on a machine full of busy
/// backends, looking at every process takes long enough to matter. Incomplete where the kernel
/// lacks the file, so only a beginning.
pub fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Sends SIGKILL to each; one that is gone already is no error.
pub fn kill_all(pids: &[i32]) {
    for pid in pids {
        kill(Pid::from_raw(*pid), Signal::SIGKILL).ok();
    }
}

struct Process {
    pid: i32,
    parent: i32,
    alive: bool,
}

fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)).collect()
}

/// Reads `/proc/PID/stat` (proc_pid_stat(5)): `pid (name) state ppid ... num_threads ...`. The
/// name may itself contain spaces and parentheses, and need not be UTF-8.
fn parse(pid: i32, stat: &[u8]) -> Option<Process> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(&stat[after_name..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let threads: u32 = fields.nth(15)?.parse().ok()?;
    // A dead first thread with others still running is shown as a zombie.
    let alive = !matches!(state, "Z" | "X") || threads > 1;
    Some(Process { pid, parent, alive })
}

fn descendants(ancestor: i32, everything: &[Process]) -> HashSet<i32> {
    let mut family = HashSet::from([ancestor]);
    loop {
        let before = family.len();
        family.extend(
            everything
                .iter()
                .filter(|p| family.contains(&p.parent))
                .map(|p| p.pid)
                .collect::<Vec<_>>(),
        );
        if family.len() == before {
            family.remove(&ancestor);
            return family;
        }
    }
}

/// Whether a PostgreSQL process stands in `data_dir`. One without an executable is at its end
/// (its memory is gone) and belongs until it is dead.
fn stands_in(pid: i32, data_dir: &Path) -> bool {
    let Ok(cwd) = fs::read_link(format!("/proc/{pid}/cwd")) else { return false };
    let cwd = without_deleted(&cwd);
    cwd == data_dir.as_os_str().as_bytes() && is_postgres(pid)
}

fn is_postgres(pid: i32) -> bool {
    let Ok(exe) = fs::read_link(format!("/proc/{pid}/exe")) else { return true };
    let name = exe.file_name().unwrap_or_default();
    without_deleted(Path::new(name)) == b"postgres"
}

/// The kernel marks what was removed since: a directory replaced, a program upgraded.
fn without_deleted(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    bytes.strip_suffix(b" (deleted)").unwrap_or(bytes)
}
