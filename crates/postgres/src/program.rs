//! PostgreSQL's own programs, run to their end.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use crate::PgError;
use crate::install::Install;

/// Lines of a program's complaint that are passed on.
const SAID_LINES_MAX: usize = 3;

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub program: &'static str,
    pub success: bool,
    /// What it printed, on both streams.
    pub said: String,
}

impl Ended {
    /// What it said, if it ended well; else its last words.
    pub fn judge(self) -> Result<String, PgError> {
        if self.success {
            return Ok(self.said);
        }
        Err(PgError::Program { program: self.program, said: self.last_words() })
    }

    pub fn last_words(&self) -> String {
        let lines: Vec<&str> = self.said.lines().filter(|l| !l.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(SAID_LINES_MAX)..].join("; ")
    }
}

/// Runs `program`; what it printed, if it ended well.
pub(crate) async fn run(
    install: &Install,
    program: &'static str,
    arguments: &[&str],
) -> Result<String, PgError> {
    ended(install, program, arguments).await?.judge()
}

/// Runs `program` to whatever end. It is killed when the future is dropped, and when this
/// process dies: an orphaned pg_basebackup would go on writing where the next try cleans up.
///
/// There is no bound on the time, a copy takes as long as it takes; a peer that is gone is
/// noticed by the connection's own bounds ([`crate::conf::primary_conninfo`]).
pub(crate) async fn ended(
    install: &Install,
    program: &'static str,
    arguments: &[&str],
) -> Result<Ended, PgError> {
    let path = install.program(program);
    let mut command = Command::new(&path);
    // Nothing is inherited: a stray PGHOST or PGOPTIONS would lead it elsewhere.
    command
        .args(arguments)
        .env_clear()
        .envs(crate::server::environment(install))
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null());
    die_with_parent(&mut command);
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output().await.map_err(PgError::io("run", &path))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    Ok(Ended { program, success: output.status.success(), said })
}

/// The signal comes when the *thread* that started the program ends (prctl(2)): the agent's own,
/// which lives as long as the process.
#[expect(unsafe_code, reason = "what happens between fork and exec has no safe form")]
pub(crate) fn die_with_parent(command: &mut Command) {
    let parent = Pid::this();
    let before_exec = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above.
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: after the fork only two system calls are made; nothing allocates or locks.
    unsafe {
        command.pre_exec(before_exec);
    }
}
