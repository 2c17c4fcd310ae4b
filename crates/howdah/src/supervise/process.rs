//! One node's process: started by this supervisor, or found running after an earlier one was
//! killed.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use howdah_base::NodeName;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::failure::Exit;
use crate::leave::LEFT;
use crate::prepare::lock::Lock;
use crate::prepare::{Account, Prepared, layout};

/// A node's shutdown holds PostgreSQL's shutdown checkpoint.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a process that is not our child is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// After SIGKILL there is nothing left to wait for but the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A node's process.
#[derive(Debug)]
pub enum Process {
    Started(Child),
    /// Runs since before this supervisor. Its lock tells when it ends.
    Found(i32),
}

impl Process {
    /// Takes over the node's process if one runs, else starts one.
    pub fn start(prepared: &Prepared, node: &NodeName) -> anyhow::Result<Process> {
        let lock = layout::node_lock(&prepared.spec.nodes[node]);
        if let Some(pid) = Lock::holder(&lock) {
            return Ok(Process::Found(pid));
        }
        // The running executable and not its path: the path may lie where the servers' user
        // cannot go, or hold another version by now.
        // Root's home is closed to that user as well, and its own may not exist; libpq looks there.
        let child = Command::new("/proc/self/exe")
            .arg0("howdah")
            .args(["run", "--node", node.as_str(), "--as-child", "--file"])
            .arg(prepared.layout.file())
            .env("HOME", prepared.layout.base())
            .env("USER", &prepared.server.name)
            .env("LOGNAME", &prepared.server.name)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("start node {node}"))?;
        Ok(Process::Started(child))
    }

    /// Waits for its end, and says how it ended.
    pub async fn ended(&mut self, prepared: &Prepared, node: &NodeName) -> Ended {
        match self {
            Process::Started(child) => match child.wait().await {
                Ok(status) => Ended {
                    how: describe(status),
                    is_final: is_final(status),
                    as_ordered: status.success() || status.code() == Some(LEFT.into()),
                },
                Err(error) => Ended::somehow(format!("cannot be waited for: {error}")),
            },
            Process::Found(_) => {
                let lock = layout::node_lock(&prepared.spec.nodes[node]);
                while Lock::is_held(&lock) {
                    sleep(LOOK).await;
                }
                Ended::somehow("ended")
            }
        }
    }

    /// Asks it to stop, then makes it. Returns whether it stopped when it was asked.
    pub async fn stop(&mut self, prepared: &Prepared, node: &NodeName) -> bool {
        // SIGINT says that the whole cluster is going down.
        self.signal(prepared, Signal::SIGINT);
        if timeout(STOP_TIMEOUT, self.ended(prepared, node)).await.is_ok() {
            return true;
        }
        self.signal(prepared, Signal::SIGKILL);
        // Its guard sees the agent gone and ends PostgreSQL when the deadline has passed.
        let _ = timeout(KILL_TIMEOUT, self.ended(prepared, node)).await;
        false
    }

    fn signal(&self, prepared: &Prepared, signal: Signal) {
        match self {
            Process::Started(child) => {
                let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
                // Gone in the meantime is as good.
                let _ = pid.map(|pid| kill(Pid::from_raw(pid), signal));
            }
            Process::Found(pid) => signal_found(&prepared.server, *pid, signal),
        }
    }
}

/// How a node's process has ended.
#[derive(Debug)]
pub struct Ended {
    pub how: String,
    /// Another start would end in the same way.
    pub is_final: bool,
    /// Somebody told it to, and it did so in order.
    pub as_ordered: bool,
}

impl Ended {
    pub fn somehow(how: impl Into<String>) -> Ended {
        Ended { how: how.into(), is_final: false, as_ordered: false }
    }
}

fn is_final(status: ExitStatus) -> bool {
    status.code().is_some_and(|code| Exit::FINAL.iter().any(|exit| *exit as i32 == code))
}

/// Signals a process whose id stands in a file of the servers' user, with no more rights than
/// that user has: the file may name any process.
pub fn signal_found(server: &Account, pid: i32, signal: Signal) {
    let sent = server.act(|| Ok(kill(Pid::from_raw(pid.max(2)), signal)));
    drop(sent);
}

/// Asks the supervisor of a running cluster to try the nodes again that were refused for good.
pub fn try_again(supervisor: i32) {
    // Who may not signal it has nothing to mend there either.
    let _ = kill(Pid::from_raw(supervisor.max(2)), Signal::SIGUSR1);
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => {
            let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
            format!("was ended by {name}")
        }
        (None, None) => "ended".to_owned(),
    }
}
