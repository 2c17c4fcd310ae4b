//! The etcd process: found running, or started; watched, and stopped.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::arguments::DATA;
use crate::error::KeeperError;
use crate::log;

/// etcd, alive when last looked at.
#[derive(Debug)]
pub(crate) struct Process {
    pid: i32,
    /// A pid is given out again when its process is gone; together with this it is not.
    born: Option<Born>,
    /// Our own child is collected; one that an earlier keeper left is only looked at.
    child: Option<Child>,
    pub(crate) since: Instant,
}

/// When a process was started, in the kernel's clock ticks since boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Born(u64);

/// etcd hands its leadership over before it ends.
const STOP_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Process {
    /// Starts etcd. It stays when the keeper goes: the next one finds it.
    pub(crate) fn start(
        binary: &Path,
        arguments: &[String],
        log: &Path,
    ) -> Result<Process, KeeperError> {
        let opened = log::open(log).map_err(KeeperError::file("open etcd's log", log))?;
        let child = Command::new(binary)
            .args(arguments)
            // Variables of the form ETCD_* would be flags as well.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(opened)
            .spawn()
            .map_err(KeeperError::file("start etcd", binary))?;
        let pid = i32::try_from(child.id()).unwrap_or_default();
        Ok(Process { pid, born: born(pid), child: Some(child), since: Instant::now() })
    }

    /// The etcd that an earlier keeper started on this directory.
    pub(crate) fn find(data_dir: &Path) -> Option<Process> {
        let wanted = format!("--data-dir={}", data_dir.join(DATA).display());
        let pids = fs::read_dir("/proc").ok()?.flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut found = pids.filter_map(|pid| Some((pid, born_as_etcd_with(pid, &wanted)?)));
        let (pid, born) = found.next()?;
        Some(Process { pid, born: Some(born), child: None, since: Instant::now() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// How it ended, when it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        match &mut self.child {
            Some(child) => child.try_wait().ok().flatten().map(|status| status.to_string()),
            None => (!self.is_there()).then(|| "nobody saw how".to_owned()),
        }
    }

    /// Whether it is still this one that has the pid.
    fn is_there(&self) -> bool {
        self.born.is_some() && born(self.pid) == self.born
    }

    /// SIGTERM; SIGKILL when that does not do it in time.
    pub(crate) async fn stop(&mut self) {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            // A child that is not collected keeps its pid; any other one is looked at again.
            if self.ended().is_some() {
                return;
            }
            // Gone already is as good.
            let _ = kill(Pid::from_raw(self.pid), signal);
            let deadline = Instant::now() + STOP_WITHIN;
            while Instant::now() < deadline {
                if self.ended().is_some() {
                    return;
                }
                sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// When the process was started, if it is the etcd with this argument.
fn born_as_etcd_with(pid: i32, argument: &str) -> Option<Born> {
    let before = born(pid)?;
    // The pid may have changed hands while its words were read.
    (is_etcd_with(pid, argument) && born(pid) == Some(before)).then_some(before)
}

fn is_etcd_with(pid: i32, argument: &str) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut words = line.split(|byte| *byte == 0);
    let program = words.next().unwrap_or_default();
    let name = Path::new(std::ffi::OsStr::from_bytes(program)).file_name();
    // A keeper of another name may be typed with the same words.
    name.is_some_and(|name| name.as_bytes().starts_with(b"etcd"))
        && words.any(|word| word == argument.as_bytes())
}

/// When the process was started, if it runs: a zombie does not.
fn born(pid: i32) -> Option<Born> {
    born_by(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// From the text of `/proc/PID/stat`, see proc(5).
fn born_by(stat: &str) -> Option<Born> {
    // The name is in parentheses and may itself contain some; the state stands behind it.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_whitespace();
    if fields.next().is_none_or(|state| matches!(state, "Z" | "X")) {
        return None;
    }
    fields.nth(START_TIME).and_then(|ticks| ticks.parse().ok()).map(Born)
}

/// `starttime`, the 22nd field, counted from the one behind the state.
const START_TIME: usize = 22 - 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_read_behind_a_name_with_parentheses() {
        let fields: Vec<String> = (4..30).map(|field| field.to_string()).collect();
        let stat = |state: &str| format!("7 (an) (etcd) {state} {}\n", fields.join(" "));
        assert_eq!(born_by(&stat("S")), Some(Born(22)));
        assert_eq!(born_by(&stat("Z")), None);
        assert_eq!(born_by("7 (etcd) S 1"), None);
    }

    fn left_over(child: &Child, later: u64) -> Process {
        let pid = i32::try_from(child.id()).expect("a pid");
        let born = born(pid).map(|Born(ticks)| Born(ticks - later));
        assert!(born.is_some(), "{pid} does not run");
        Process { pid, born, child: None, since: Instant::now() }
    }

    fn some_process() -> Child {
        Command::new("sleep").arg("60").spawn().expect("sleep")
    }

    #[tokio::test]
    async fn whoever_has_the_pid_now_is_neither_watched_nor_stopped() {
        let mut other = some_process();
        let mut gone = left_over(&other, 1);
        assert_eq!(gone.ended().as_deref(), Some("nobody saw how"));
        gone.stop().await;
        assert_eq!(other.try_wait().expect("looked at"), None, "it was killed");
        other.kill().and_then(|()| other.wait()).expect("ended");
    }

    #[tokio::test]
    async fn the_one_that_was_found_is_stopped() {
        let mut there = some_process();
        let mut process = left_over(&there, 0);
        assert_eq!(process.ended(), None);
        process.stop().await;
        assert_eq!(there.wait().expect("ended").to_string(), "signal: 15 (SIGTERM)");
    }
}
