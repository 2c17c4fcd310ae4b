//! Starts a helper that outlives its starter, where no service manager does.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::{Uid, setfsuid};

use super::HelperOptions;
use super::error::VipError;
use super::message::{Reply, Request, line};

const UP_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Starts `exe vip-helper ...` (see [`HelperOptions::arguments`]) as this user, root as a rule,
/// and waits until it answers, at most five seconds. One that runs already with the same address
/// is left alone; one with another address is told to leave first. Blocks its thread.
pub fn spawn_helper(exe: &Path, options: &HelperOptions, log: &Path) -> Result<(), VipError> {
    if let Some(reply) = ask(&options.socket, Request::State) {
        if is_meant(&reply, options) {
            return Ok(());
        }
        ask(&options.socket, Request::Leave);
    }
    let log_file = open_log(log, options.owner)?;
    let mut child = Command::new(exe)
        .arg0("howdah")
        .args(options.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log_file)
        .spawn()
        .map_err(VipError::io("start the helper", exe))?;
    let up = wait_until_up(&mut child, options, log);
    if up.is_err() {
        child.kill().ok();
    }
    // Takes its status when it ends one day; without the thread a zombie stays, which is harmless.
    let waiting = std::thread::Builder::new().name("helper's end".to_owned());
    drop(waiting.stack_size(64 * 1024).spawn(move || child.wait()));
    up
}

/// As the user whose folder it lies in, who could lead root anywhere.
fn open_log(log: &Path, owner: Option<u32>) -> Result<File, VipError> {
    let before = owner.map(|owner| setfsuid(Uid::from_raw(owner)));
    let opened = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(log);
    if let Some(before) = before {
        setfsuid(before);
    }
    opened.map_err(VipError::io("open the helper's log", log))
}

/// Tells the helper to drop the address and to end; nothing to do when there is none. One of a
/// service manager is started again by that. Blocks its thread, at most a second.
pub fn end_helper(socket: &Path) {
    ask(socket, Request::Leave);
}

fn is_meant(reply: &Reply, options: &HelperOptions) -> bool {
    let HelperOptions { address, prefix, interface, .. } = options;
    reply.address == *address && reply.prefix == *prefix && reply.interface == *interface
}

fn wait_until_up(child: &mut Child, options: &HelperOptions, log: &Path) -> Result<(), VipError> {
    let not_up = |why: String| {
        let (socket, log) = (options.socket.clone(), log.to_owned());
        Err(VipError::NotUp { why, socket, log })
    };
    let deadline = Instant::now() + UP_WITHIN;
    loop {
        if ask(&options.socket, Request::State).is_some_and(|reply| is_meant(&reply, options)) {
            return Ok(());
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

/// `None`: nobody answers there.
fn ask(socket: &Path, request: Request) -> Option<Reply> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    stream.write_all(&line(&request)).ok()?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).ok()?;
    serde_json::from_str(&answer).ok()
}
