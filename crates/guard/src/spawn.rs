//! Starts a guard that outlives its starter.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::GuardError;
use crate::lines::Lines;
use crate::message::{Asked, Reply, Request, Said, State, line};
use crate::setup::check_socket;

/// A guard first ends what an earlier one left, but listens meanwhile.
const UP_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Starts `exe guard --socket S --data-dir D --log L` and waits until it answers, at most five
/// seconds. Blocks its thread. Gives the guard's process id.
///
/// The guard makes a session of its own, so neither a terminal's Ctrl-C nor the end of the
/// caller reaches it. All paths may be relative; `exe` may be `/proc/self/exe`.
pub fn spawn(exe: &Path, socket: &Path, data_dir: &Path, log: &Path) -> Result<i32, GuardError> {
    let (socket, data_dir, log) = (absolute(socket)?, absolute(data_dir)?, absolute(log)?);
    check_socket(&socket)?;
    let talk = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(GuardError::io("open the guard's log", &log))?;
    let mut child = Command::new(exe)
        // What `ps` shows; the words that follow name the node.
        .arg0("howdah")
        .arg("guard")
        .arg("--socket")
        .arg(&socket)
        .arg("--data-dir")
        .arg(&data_dir)
        .arg("--log")
        .arg(&log)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(talk)
        .spawn()
        .map_err(GuardError::io("start the guard", exe))?;
    let up = wait_until_up(&mut child, &socket, &log);
    if up.is_err() {
        child.kill().ok();
    }
    let pid = i32::try_from(child.id()).unwrap_or_default();
    collect(child);
    up.map(|()| pid)
}

fn absolute(path: &Path) -> Result<PathBuf, GuardError> {
    std::path::absolute(path).map_err(GuardError::io("make a path absolute", path))
}

fn wait_until_up(child: &mut Child, socket: &Path, log: &Path) -> Result<(), GuardError> {
    let not_up = |why: String| {
        Err(GuardError::NotUp { why, socket: socket.to_owned(), log: log.to_owned() })
    };
    let deadline = Instant::now() + UP_WITHIN;
    loop {
        // Another guard may answer in its place, while ours ends because of it.
        match ask_state(socket) {
            Ok(state) if i64::from(state.guard_pid) == i64::from(child.id()) => return Ok(()),
            _ => {}
        }
        if let Ok(Some(status)) = child.try_wait() {
            return not_up(format!("it ended with {status}"));
        }
        if Instant::now() >= deadline {
            return not_up(format!("it did not answer within {UP_WITHIN:?}"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn ask_state(socket: &Path) -> std::io::Result<State> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(&line(&Asked { id: 0, request: Request::State }))?;
    let mut lines = Lines::default();
    let mut bytes = [0; 4096];
    loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let whole = lines.take(&bytes[..count]);
        for line in whole.map_err(|_| std::io::ErrorKind::InvalidData)? {
            if let Said::Reply { reply: Reply::State(state), .. } = serde_json::from_slice(&line)? {
                return Ok(state);
            }
        }
    }
}

/// Takes the guard's status when it ends one day, so that no zombie looks like a guard.
fn collect(mut child: Child) {
    let waiting = std::thread::Builder::new()
        .name("guard's end".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || child.wait());
    // Without the thread the zombie stays until the agent ends: ugly, not harmful.
    drop(waiting);
}
