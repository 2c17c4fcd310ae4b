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
    /// Our own child is collected; one that an earlier keeper left is only looked at.
    child: Option<Child>,
    pub(crate) since: Instant,
}

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
        Ok(Process { pid, child: Some(child), since: Instant::now() })
    }

    /// The etcd that an earlier keeper started on this directory.
    pub(crate) fn find(data_dir: &Path) -> Option<Process> {
        let wanted = format!("--data-dir={}", data_dir.join(DATA).display());
        let pids = fs::read_dir("/proc").ok()?.flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let pid = pids.into_iter().find(|pid| is_etcd_with(*pid, &wanted))?;
        Some(Process { pid, child: None, since: Instant::now() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// How it ended, when it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        match &mut self.child {
            Some(child) => child.try_wait().ok().flatten().map(|status| status.to_string()),
            None => (!is_alive(self.pid)).then(|| "nobody saw how".to_owned()),
        }
    }

    /// SIGTERM; SIGKILL when that does not do it in time.
    pub(crate) async fn stop(&mut self) {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
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

fn is_etcd_with(pid: i32, argument: &str) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut words = line.split(|byte| *byte == 0);
    let program = words.next().unwrap_or_default();
    let name = Path::new(std::ffi::OsStr::from_bytes(program)).file_name();
    // A keeper of another name may be typed with the same words.
    name.is_some_and(|name| name.as_bytes().starts_with(b"etcd"))
        && words.any(|word| word == argument.as_bytes())
        && is_alive(pid)
}

/// Whether it runs: a zombie does not.
fn is_alive(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name is in parentheses and may itself contain some.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}
