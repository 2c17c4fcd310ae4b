//! The fork: how the postmaster begins, and how it is told things.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use howdah_base::Tick;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};

/// A postmaster that was started and has not been collected.
#[derive(Clone, Copy, Debug)]
pub struct Postmaster {
    pub pid: Pid,
    pub started_at: Tick,
}

impl Postmaster {
    /// Forks and waits for the exec, so a program that cannot run is an error here. Must be
    /// called by the main thread: the death signal fires when the forking *thread* ends.
    ///
    /// This touches disks (the log, the program) and may hang with them; nothing runs then that
    /// a deadline would have to end.
    pub fn start(
        program: &Path,
        args: &[String],
        env: &[(String, String)],
        log: &Path,
        now: Tick,
    ) -> io::Result<Postmaster> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        die_with_parent(&mut command);
        // The child is collected with all others by `waitpid`, not through this handle.
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok(Postmaster { pid: Pid::from_raw(pid), started_at: now })
    }

    /// One that is a zombie already is no error.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).ok();
    }
}

#[expect(unsafe_code, reason = "what happens between fork and exec has no safe form")]
fn die_with_parent(command: &mut Command) {
    let guard = Pid::this();
    let before_exec = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The guard may have died before the line above: then nobody would ever send it.
        if getppid() == guard { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: after the fork only two system calls are made, and an errno becomes an error; none
    // of it allocates or takes a lock that another thread may have held.
    unsafe {
        command.pre_exec(before_exec);
    }
}
