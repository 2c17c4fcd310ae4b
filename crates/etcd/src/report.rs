//! How the member is, for whoever asks on the keeper's socket: one JSON line a connection.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// What the keeper says of its member.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub phase: Phase,
    /// Why it is in this phase, one sentence; empty when all is well.
    pub why: String,
    /// What else is wrong, one sentence each.
    pub problems: Vec<String>,
    /// The member's id in etcd.
    pub member: Option<u64>,
    pub keeper_pid: u32,
    pub etcd_pid: Option<u32>,
    /// etcd's version, such as `3.4`.
    pub version: String,
    /// How often etcd ended without having been asked to, since the keeper began.
    pub ends: u64,
}

/// How far the member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// On its way: [`Report::why`] says to what.
    #[default]
    Starting,
    /// A member that counts, with a leader.
    Well,
    /// Waits for others.
    Waiting,
    /// Waits for a person.
    Refused,
    /// The file in force gives this node no member: the keeper ends.
    Left,
}

impl Report {
    /// Sentences for the status of the node.
    pub fn problems(&self) -> Vec<String> {
        let why = match self.phase {
            Phase::Well | Phase::Left => None,
            Phase::Starting | Phase::Waiting | Phase::Refused => Some(&self.why),
        };
        let why = why.filter(|why| !why.is_empty());
        why.into_iter().chain(&self.problems).map(|p| format!("its store: {p}")).collect()
    }
}

const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Asks the keeper behind `socket`.
///
/// # Errors
/// When none answers within a second.
pub async fn ask(socket: &Path) -> io::Result<Report> {
    let asked = async {
        let stream = UnixStream::connect(socket).await?;
        let mut text = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut text).await?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    };
    timeout(ANSWER_WITHIN, asked).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

use io::ErrorKind;

/// Listens at `socket`, whatever an earlier keeper left there.
pub(crate) fn listen(socket: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until the keeper ends.
pub(crate) async fn serve(listener: UnixListener, report: watch::Receiver<Report>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // Out of descriptors, say: the next one may find one.
            tokio::time::sleep(ANSWER_WITHIN).await;
            continue;
        };
        let line = format!("{}\n", serde_json::json!(*report.borrow()));
        // One at a time: whoever does not read is cut off.
        let _ = timeout(ANSWER_WITHIN, stream.write_all(line.as_bytes())).await;
    }
}
