//! What the schedule does is done by a process of its own: the verb that an operator would type, with
//! less right to processor and disk than the server has. So neither the lease nor a client feels it.
//!
//! ```text
//! node ── the lease's name ──► howdah backup ── stdout ──► what came of it
//!   └── SIGTERM, when it is to stop      └──── stderr ──► this node's log
//! ```
//! It ends with its node.

use std::fmt::Display;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use howdah_archive::schedule::{Outcome, Task};
use howdah_base::NodeName;
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::lease;

/// What came of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Came {
    pub outcome: Outcome,
    /// Why it was not done.
    pub why: String,
    /// What it printed; null when that was nothing to read.
    pub report: Value,
}

/// Of what it prints, so much is read.
const REPORT_BYTES_MAX: u64 = 4 << 20;
const LINE_BYTES_MAX: usize = 2_000;
/// After SIGTERM it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// As `nice` counts.
const NICE: libc::c_int = 10;

/// Why it is to stop, and what that means for its run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    pub outcome: Outcome,
    pub why: String,
}

/// The verb of a task, as an operator would type it; without the node whose server it is to be.
fn words(task: Task) -> &'static [&'static str] {
    match task {
        Task::Full => &["backup", "--full", "--json"],
        Task::Backup => &["backup", "--json"],
        Task::Expire => &["expire", "--json"],
        Task::Drill => &["drill", "restore", "--format", "json"],
        Task::Verify => &["verify", "--all", "--format", "json"],
    }
}

/// Runs it to its end, or until `stop` says why not.
pub async fn run(
    task: Task,
    node: &NodeName,
    file: &Path,
    holder: &str,
    stop: impl Future<Output = Stop>,
) -> Came {
    let mut child = match start(task, node, file, holder) {
        Ok(child) => child,
        Err(error) => return failed(format!("it cannot be started: {error}")),
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let pid = child.id();
    let ended = async {
        let talk = async {
            match stderr {
                Some(stderr) => pass_on(task, stderr).await,
                None => String::new(),
            }
        };
        tokio::join!(read(stdout), talk, child.wait())
    };
    let mut ended = Box::pin(ended);
    let (told, (report, last, status)) = tokio::select! {
        ended = &mut ended => (None, ended),
        told = stop => {
            signal(pid, Signal::SIGTERM);
            let ended = match timeout(ENDS_WITHIN, &mut ended).await {
                Ok(ended) => ended,
                Err(_) => {
                    signal(pid, Signal::SIGKILL);
                    ended.await
                }
            };
            (Some(told), ended)
        }
    };
    tell_end(task, &status);
    match (told, status) {
        (_, Ok(status)) if status.success() => {
            Came { outcome: Outcome::Done, why: String::new(), report }
        }
        (Some(Stop { outcome, why }), _) => Came { outcome, why, report },
        (None, Err(error)) => failed(format!("it cannot be waited for: {error}")),
        (None, Ok(status)) => judge(status, last, report),
    }
}

fn judge(status: ExitStatus, last: String, report: Value) -> Came {
    let signal = status.signal().map(|signal| {
        let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
        format!("its process was ended by {name}")
    });
    // That is not what the task came to, and may be another one's turn elsewhere.
    let outcome = if signal.is_some() { Outcome::Interrupted } else { Outcome::Failed };
    let code = status.code().unwrap_or_default();
    let said = if last.is_empty() { format!("it ended with exit code {code}") } else { last };
    Came { outcome, why: signal.unwrap_or(said), report }
}

fn failed(why: String) -> Came {
    Came { outcome: Outcome::Failed, why, report: Value::Null }
}

fn start(task: Task, node: &NodeName, file: &Path, holder: &str) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("howdah")
        .args(words(task))
        .arg("--file")
        .arg(file)
        .env(lease::LENT_BY, holder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if matches!(task, Task::Full | Task::Backup) {
        command.args(["--node", node.as_str()]);
    }
    step_back(&mut command);
    command.spawn()
}

/// Ends with the thread that starts it (prctl(2)), which lives as long as its node, and lets others go
/// first: a niceness of 10, and the disk when nobody else wants it.
#[expect(unsafe_code, reason = "what happens between fork and exec has no safe form")]
pub(super) fn step_back(command: &mut Command) {
    const IOPRIO_WHO_PROCESS: libc::c_long = 1;
    const IOPRIO_IDLE: libc::c_long = 3 << 13;
    let parent = Pid::this();
    let before_exec = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // SAFETY: both take numbers only. That they fail is no reason not to go on.
        unsafe {
            libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
            libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE);
        }
        // The parent may have died before the first line.
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: after the fork only four system calls are made; nothing allocates or locks.
    unsafe {
        command.pre_exec(before_exec);
    }
}

async fn read(stdout: Option<impl AsyncRead + Unpin>) -> Value {
    let Some(stdout) = stdout else { return Value::Null };
    let mut text = Vec::new();
    let mut head = stdout.take(REPORT_BYTES_MAX);
    let read = head.read_to_end(&mut text).await;
    // What is longer is thrown away, so that it does not wait for a reader.
    let _ = tokio::io::copy(&mut head.into_inner(), &mut tokio::io::sink()).await;
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Line by line; the last one that says what went wrong is kept.
pub(super) async fn pass_on(task: impl Display, stderr: impl AsyncRead + Unpin) -> String {
    let mut last = String::new();
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES_MAX)]);
        let said = line.strip_prefix("howdah: ").unwrap_or(&line);
        if said.trim().is_empty() {
            continue;
        }
        tracing::info!("{task}: {said}");
        if !said.starts_with("hint: ") {
            said.clone_into(&mut last);
        }
    }
    last
}

fn tell_end(task: Task, status: &io::Result<ExitStatus>) {
    if let Ok(status) = status
        && !status.success()
    {
        tracing::warn!("{task}: {status}");
    }
}

/// Gone meanwhile is as good.
fn signal(pid: Option<u32>, signal: Signal) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok());
    let _ = pid.map(|pid| kill(Pid::from_raw(pid), signal));
}
