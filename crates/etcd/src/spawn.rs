//! Starts a keeper that outlives its starter.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::KeeperError;
use crate::report;

const UP_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Starts `exe` with these arguments and waits until a keeper answers at `socket`, at most five
/// seconds. `log` takes what the keeper says.
///
/// The keeper makes a session of its own, so neither a terminal's Ctrl-C nor the end of the
/// caller reaches it.
///
/// # Errors
/// When it ends, or does not answer in time; its log says why.
pub async fn spawn(
    exe: &Path,
    arguments: &[OsString],
    socket: &Path,
    log: &Path,
) -> Result<(), KeeperError> {
    let talk = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)
        .map_err(KeeperError::file("open the keeper's log", log))?;
    let mut child = Command::new(exe)
        .arg0("howdah")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(talk)
        .spawn()
        .map_err(KeeperError::file("start the keeper of the store", exe))?;
    let up = wait_until_up(&mut child, socket, log).await;
    collect(child);
    up
}

async fn wait_until_up(child: &mut Child, socket: &Path, log: &Path) -> Result<(), KeeperError> {
    let not_up = |why: String| Err(KeeperError::NotUp { why, log: log.to_owned() });
    let deadline = Instant::now() + UP_WITHIN;
    loop {
        if report::ask(socket).await.is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return not_up(format!("it ended with {status}"));
        }
        if Instant::now() >= deadline {
            return not_up(format!("it did not answer within {UP_WITHIN:?}"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Takes the keeper's status when it ends one day, so that no zombie looks like a keeper.
fn collect(mut child: Child) {
    let waiting = std::thread::Builder::new()
        .name("keeper's end".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || child.wait());
    // Without the thread the zombie stays until the agent ends: ugly, not harmful.
    drop(waiting);
}
