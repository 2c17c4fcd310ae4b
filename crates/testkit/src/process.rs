//! Processes as `/proc` shows them: found by what they work on, killed by their id.
//!
//! Nothing is ever killed by name: several clusters, and a developer's own PostgreSQL, run on
//! the same machine at the same time.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// One process at one moment.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    /// `R`, `S`, `D`, `T` (stopped), `Z` (dead, not yet collected).
    pub state: char,
    pub cwd: PathBuf,
    pub arguments: Vec<String>,
}

impl Process {
    /// Reads one process; `None` when it is gone, or all of it is dead and waits to be collected.
    pub fn read(pid: i32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may itself contain spaces and parentheses.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        if state == 'X' || (state == 'Z' && !has_other_threads(pid)) {
            return None;
        }
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let arguments = raw
            .split(|byte| *byte == 0)
            .filter(|argument| !argument.is_empty())
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        Some(Process { pid, parent, state, cwd, arguments })
    }

    /// Whether it works on `path`: stands in it, or names it or something below it.
    pub fn works_on(&self, path: &Path) -> bool {
        self.cwd.starts_with(path) || self.arguments.iter().any(|text| names(text, path))
    }

    /// The command line on one line. A server's processes write their role there.
    pub fn title(&self) -> String {
        self.arguments.join(" ")
    }
}

/// The first thread is a zombie as soon as it has ended itself; until the last one has, a killed
/// process holds its locks and ports.
fn has_other_threads(pid: i32) -> bool {
    fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1)
}

/// Whether an argument names `path` or something below it, also as `--option=path`.
fn names(argument: &str, path: &Path) -> bool {
    let value = argument.split_once('=').map_or(argument, |(_, value)| value);
    Path::new(argument).starts_with(path) || Path::new(value).starts_with(path)
}

/// All living processes.
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .collect()
}

/// Those that work on `path`, never this process itself.
pub fn working_on(path: &Path) -> Vec<Process> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    all().into_iter().filter(|process| process.pid != own && process.works_on(path)).collect()
}

/// All children, grandchildren and so on of `roots`, without the roots.
pub fn descendants(roots: &[i32]) -> Vec<Process> {
    let everything = all();
    let mut known: HashSet<i32> = roots.iter().copied().collect();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for process in &everything {
            if known.contains(&process.parent) && known.insert(process.pid) {
                found.push(process.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

pub fn is_alive(pid: i32) -> bool {
    Process::read(pid).is_some()
}

/// Whether every thread of a process is stopped. A stop reaches them one after the other, and
/// the first only when it gets its turn.
pub fn stands_still(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

/// Sends a signal; a process that is gone already is no error.
pub fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).ok();
}

/// As [`kill_all`]; panics when some do not die.
#[track_caller]
pub fn kill_until_none(what: &str, find: impl Fn() -> Vec<Process>) {
    let left = kill_all(find);
    assert!(left.is_empty(), "not so: {what}; still there: {left:#?}");
}

/// Kills every process that `find` sees until it sees none, at most ten seconds; who is left
/// then. Each round stops all of them before it kills any, so that none reacts to another's end.
pub fn kill_all(find: impl Fn() -> Vec<Process>) -> Vec<Process> {
    let gone = wait::found_within(Duration::from_secs(10), || {
        let living = find();
        for process in &living {
            signal(process.pid, Signal::SIGSTOP);
        }
        for process in &living {
            signal(process.pid, Signal::SIGKILL);
        }
        living.is_empty().then_some(())
    });
    if gone.is_some() { Vec::new() } else { find() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_its_arguments_and_killed() {
        let place = Path::new("/tmp/howdah-a-place-of-this-test-only");
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read line", "--place=/tmp/howdah-a-place-of-this-test-only/x"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("sh starts");
        let found = wait::until(
            "the child shows its arguments",
            Duration::from_secs(5),
            || working_on(place).into_iter().next(),
            || format!("{:#?}", all()),
        );
        assert_eq!(found.pid, i32::try_from(child.id()).expect("a pid"));
        kill_until_none("the child is gone", || working_on(place));
        assert!(!child.wait().expect("collected").success());
    }

    #[test]
    fn a_neighbour_with_a_longer_name_is_not_meant() {
        let place = Path::new("/tmp/cluster-1");
        assert!(names("/tmp/cluster-1/nodes", place));
        assert!(names("--file=/tmp/cluster-1", place));
        assert!(!names("/tmp/cluster-10/nodes", place));
    }
}
