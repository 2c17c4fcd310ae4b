//! The helper process: what it takes before its loop, and what it leaves behind.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use nix::unistd::{self, Uid, User, setfsgid, setfsuid};

use super::HelperOptions;
use super::duty::Duty;
use super::error::VipError;
use super::kernel::Kernel;
use super::serve::Server;
use crate::clock;

/// Lines that wait for whoever takes the log.
const LINES_MAX: usize = 64;
/// For the lock: half a second.
const LOCK_TRIES_MAX: u32 = 50;
const LOCK_EVERY: Duration = Duration::from_millis(10);

/// The helper, until it is told to leave or gets SIGTERM; then the address is removed. The
/// process should have done nothing else before: signals are taken. It needs CAP_NET_ADMIN, and
/// CAP_NET_RAW to announce.
pub fn run_helper(options: HelperOptions) -> Result<(), VipError> {
    // A session of its own, so that the end of a terminal or of the starter does not reach it.
    unistd::setsid().ok();
    unistd::chdir("/").map_err(VipError::system("change to the root directory"))?;
    umask(Mode::from_bits_truncate(0o177));
    if let Some(owner) = options.owner {
        touch_files_as(owner);
    }
    let _lock = lock(&options.socket)?;
    // Before any thread starts, so that none of them takes a signal.
    let signals = signals().map_err(VipError::system("take the signals"))?;
    let say = Say::start();
    let kernel = Kernel::new(&options.interface, options.address, options.prefix)?;
    // What it needs is open; nothing that it could start may gain more.
    prctl::set_no_new_privs().map_err(VipError::system("give up new privileges"))?;
    let listener = listen(&options.socket)?;
    let timer =
        TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)
            .map_err(VipError::system("make a timer"))?;
    let HelperOptions { address, prefix, interface, socket, .. } = options.clone();
    say.line(&format!("keeps `{address}/{prefix}` on `{interface}`"));
    let duty = Duty::new(clock::now());
    let clients = Vec::new();
    let mut server =
        Server { options, duty, kernel, listener, signals, timer, clients, leaving: false, say };
    keep_in_memory();
    let outcome = server.run();
    fs::remove_file(&socket).ok();
    outcome
}

/// The folder of the socket belongs to the agent's user, who may put anything in its place, a link
/// to a file of root's for instance. So files are touched as that user, from here to the end.
fn touch_files_as(owner: u32) {
    let owner = Uid::from_raw(owner);
    if let Ok(Some(user)) = User::from_uid(owner) {
        setfsgid(user.gid);
    }
    setfsuid(owner);
}

/// The log, written by a thread: a disk or a pipe that hangs never delays the deadline.
#[derive(Clone, Debug)]
pub struct Say(SyncSender<String>);

impl Say {
    fn start() -> Say {
        let (lines, waiting) = sync_channel::<String>(LINES_MAX);
        let writer = std::thread::Builder::new().name("log".to_owned()).stack_size(128 * 1024);
        // Without the thread every line is dropped, and the address is kept all the same.
        drop(writer.spawn(move || {
            for line in waiting {
                tracing::info!("vip-helper: {line}");
            }
        }));
        Say(lines)
    }

    /// Soon, if it can be; dropped when too many wait.
    pub fn line(&self, text: &str) {
        self.0.try_send(text.to_owned()).ok();
    }
}

/// The lock ends with the process, however it ends; the file stays.
fn lock(socket: &Path) -> Result<Flock<File>, VipError> {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(&path)
        .map_err(VipError::io("open the helper's lock", &path))?;
    take(file).map_err(|error| match error {
        Errno::EWOULDBLOCK => VipError::AlreadyRuns { lock: path.clone() },
        error => VipError::io("lock", &path)(error),
    })
}

/// With a moment's patience: a helper that was told to leave may not have let go of it yet.
fn take(mut file: File) -> Result<Flock<File>, Errno> {
    for _ in 0..LOCK_TRIES_MAX {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((again, Errno::EWOULDBLOCK)) => file = again,
            Err((_, error)) => return Err(error),
        }
        std::thread::sleep(LOCK_EVERY);
    }
    Err(Errno::EWOULDBLOCK)
}

/// A terminal's SIGINT, SIGQUIT and SIGHUP are read and end it as SIGTERM does.
fn signals() -> Result<SignalFd, Errno> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Under the lock a socket file that exists is a dead helper's. The umask keeps others out.
fn listen(socket: &Path) -> Result<UnixListener, VipError> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(VipError::io("remove the old socket", socket)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(VipError::io("listen on", socket))?;
    listener.set_nonblocking(true).map_err(VipError::io("listen on", socket))?;
    Ok(listener)
}

/// Where that is not allowed, the helper may have to wait for a page of itself from a disk that
/// hangs; then the kernel's own deadline is left.
fn keep_in_memory() {
    /// `MCL_ONFAULT` (mlockall(2), Linux 4.4), not named by nix.
    const ON_FAULT: MlockAllFlags = MlockAllFlags::from_bits_retain(4);
    mlockall(MlockAllFlags::MCL_CURRENT | ON_FAULT).ok();
}
