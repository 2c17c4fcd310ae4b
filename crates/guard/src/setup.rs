//! From a bare process to a guard: its own session, one per socket, deaf to the terminal,
//! parent of every orphan.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use nix::unistd;

use crate::Options;
use crate::clients::Clients;
use crate::clock;
use crate::error::GuardError;
use crate::instance::Instance;
use crate::journal::Journal;
use crate::processes;
use crate::serve::Server;
use crate::watchdog::Watchdog;

/// `sockaddr_un` holds 108 bytes, the last of them zero.
const SOCKET_BYTES_MAX: usize = 107;
const LOCK_TRIES_MAX: u32 = 50;
const LOCK_EVERY: Duration = Duration::from_millis(10);

/// The guard process. Returns when it has left: asked by [`crate::Request::Leave`], or by SIGTERM
/// after it has stopped PostgreSQL. The process should have done nothing else before: inherited
/// descriptors are closed, signals and the panic hook are taken.
pub fn run(options: &Options) -> Result<(), GuardError> {
    let options = absolute(options)?;
    check_socket(&options.socket)?;
    let data_dir = processes::resolve(&options.data_dir);
    stand_alone()?;
    let _lock = lock(&options.socket)?;
    // Before any thread starts, so that none of them takes a signal.
    let signals = signals().map_err(GuardError::system("take the signals"))?;
    let mut journal = Journal::open(&options.log);
    let words = journal.last_words();
    std::panic::set_hook(Box::new(move |panic| {
        // Ending is safe, PostgreSQL ends too; printing to a log on a hung disk is not.
        words(&panic.to_string());
        std::process::exit(101);
    }));
    journal.say(format!("guards `{}`", data_dir.display()));
    let now = clock::now();
    let mut server = Server {
        instance: Instance::new(data_dir, now),
        clients: Clients::default(),
        listener: listen(&options.socket)?,
        signals,
        timer: TimerFd::new(
            ClockId::CLOCK_BOOTTIME,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )
        .map_err(GuardError::system("make a timer"))?,
        journal,
        watchdog: Watchdog::new(options.watchdog),
        leaving: false,
    };
    keep_in_memory();
    let outcome = server.run();
    fs::remove_file(&options.socket).ok();
    server.watchdog.close();
    server.journal.say("leaves");
    // The hook holds the journal open.
    drop(std::panic::take_hook());
    server.journal.close();
    outcome
}

/// Before the working directory changes.
fn absolute(options: &Options) -> Result<Options, GuardError> {
    let absolute = |path: &Path| -> Result<PathBuf, GuardError> {
        std::path::absolute(path).map_err(GuardError::io("make a path absolute", path))
    };
    Ok(Options {
        socket: absolute(&options.socket)?,
        data_dir: absolute(&options.data_dir)?,
        log: absolute(&options.log)?,
        watchdog: options.watchdog,
    })
}

/// A path that does not fit is a matter of configuration: better said before anything starts.
pub fn check_socket(socket: &Path) -> Result<(), GuardError> {
    let len = socket.as_os_str().as_bytes().len();
    if len <= SOCKET_BYTES_MAX {
        return Ok(());
    }
    Err(GuardError::PathTooLong { path: socket.to_owned(), len, max: SOCKET_BYTES_MAX })
}

/// Leaves the starter's session, directory and descriptors, and becomes the subreaper.
fn stand_alone() -> Result<(), GuardError> {
    // Fails only for who leads a session already, which is what is wanted.
    unistd::setsid().ok();
    unistd::chdir("/").map_err(GuardError::system("change to the root directory"))?;
    umask(Mode::from_bits_truncate(0o077));
    close_inherited();
    prctl::set_child_subreaper(true).map_err(GuardError::system("become the subreaper"))
}

/// A descriptor that the starter leaked would live as long as PostgreSQL: a port that stays
/// bound, a lock that stays held.
fn close_inherited() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|number| *number > 2) {
        unistd::close(descriptor).ok();
    }
}

/// The lock ends with the process, however it ends; the file stays.
fn lock(socket: &Path) -> Result<Flock<File>, GuardError> {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(GuardError::io("open the guard's lock", &path))?;
    take(file).map_err(|error| match error {
        Errno::EWOULDBLOCK => GuardError::AlreadyRuns { lock: path.clone() },
        error => GuardError::io("lock", &path)(error),
    })
}

/// With a moment's patience: a guard that was just killed may not have let go of it yet.
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

/// Blocked and read from a descriptor: SIGCHLD and SIGTERM mean something, a terminal's SIGINT,
/// SIGQUIT and SIGHUP do not. A blocked signal is not inherited by the server (std resets it).
fn signals() -> Result<SignalFd, Errno> {
    let mut set = SigSet::empty();
    for signal in
        [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP]
    {
        set.add(signal);
    }
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Under the lock a socket file that exists is a dead guard's. The umask keeps others out from
/// the first moment; the mode then says what is meant.
fn listen(socket: &Path) -> Result<UnixListener, GuardError> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(GuardError::io("remove the old socket", socket)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(GuardError::io("listen on", socket))?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))
        .map_err(GuardError::io("close to others", socket))?;
    listener.set_nonblocking(true).map_err(GuardError::io("listen on", socket))?;
    Ok(listener)
}

/// Without privilege this fails, and the guard may have to wait for a page from the disk that
/// hangs. Only what is mapped now and touched: locking what comes later would make an allocation
/// fail at the limit.
fn keep_in_memory() {
    /// `MCL_ONFAULT` (mlockall(2), Linux 4.4), not named by nix.
    const ON_FAULT: MlockAllFlags = MlockAllFlags::from_bits_retain(4);
    mlockall(MlockAllFlags::MCL_CURRENT | ON_FAULT).ok();
}
