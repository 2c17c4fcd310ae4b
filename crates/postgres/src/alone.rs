//! A server that this process starts for itself, apart from any node: a copy that is looked at and
//! thrown away. It ends with whoever holds it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::PgError;
use crate::install::Install;
use crate::program;

/// A running postmaster. Dropping it ends the server at once, as a crash would.
#[derive(Debug)]
pub struct Alone {
    child: Child,
    log: PathBuf,
}

/// A postmaster that was told to end at once ends its children within 5 s.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Of the end of a log.
const LOG_BYTES_MAX: u64 = 64 << 10;
const LINES_MAX: usize = 3;

impl Alone {
    /// Starts it on a configuration file, which names its data directory; what it says goes to `log`.
    ///
    /// It is killed when the thread that called this ends.
    pub fn start(install: &Install, config: &Path, log: &Path) -> Result<Alone, PgError> {
        let out = File::create(log).map_err(PgError::io("write", log))?;
        let err = out.try_clone().map_err(PgError::io("write", log))?;
        let path = install.program("postgres");
        let mut command = Command::new(&path);
        let stray = std::env::vars_os().map(|(name, _)| name);
        for name in stray.filter(|name| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command
            .arg(format!("--config-file={}", config.display()))
            .envs(crate::server::environment(install))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        program::die_with_parent(&mut command);
        let child = command.spawn().map_err(PgError::io("run", &path))?;
        Ok(Alone { child, log: log.to_owned() })
    }

    /// Whether its postmaster is gone.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Of its log, the last lines that tell of a failure.
    pub fn last_words(&self) -> String {
        last_words(&tail(&self.log).unwrap_or_default())
    }

    /// A fast shutdown: its files are whole afterwards.
    pub async fn stop(mut self, within: Duration) -> Result<(), PgError> {
        self.signal(Signal::SIGINT);
        let begun = Instant::now();
        while !self.has_ended() {
            if begun.elapsed() > within {
                return Err(PgError::Unexpected(format!("the server did not end in {within:?}")));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // One that is gone needs none.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        self.signal(Signal::SIGQUIT);
        let begun = Instant::now();
        while !self.has_ended() && begun.elapsed() < GONE_WITHIN {
            std::thread::sleep(LOOK_EVERY);
        }
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let len = fs::metadata(path)?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LOG_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What follows from a failure hides it: of the last lines, those that begin it.
pub(crate) fn last_words(log: &str) -> String {
    let weighty = |line: &&str| ["FATAL:", "PANIC:"].iter().any(|word| line.contains(word));
    let starting = |line: &&str| line.contains("the database system is");
    let mut lines: Vec<&str> = log.lines().filter(weighty).filter(|line| !starting(line)).collect();
    if lines.is_empty() {
        lines = log.lines().filter(|line| line.contains("ERROR:")).collect();
    }
    if lines.is_empty() {
        lines = log.lines().collect();
    }
    let said = |line: &str| {
        let at = ["FATAL:", "PANIC:", "ERROR:", "LOG:"].iter().find_map(|word| line.find(word));
        line[at.unwrap_or(0)..].to_owned()
    };
    let last = &lines[lines.len().saturating_sub(LINES_MAX)..];
    last.iter().map(|line| said(line)).collect::<Vec<_>>().join("; ")
}

/// What one of PostgreSQL's own checkers says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    Sound,
    /// Its first words.
    Amiss(String),
    /// The installation has no such program.
    NoProgram,
}

/// No event trigger of the origin fires when an extension is made: it may refuse, or reach out.
const QUIET: &str = "dbname=template1 options='-c session_replication_role=replica'";

/// `pg_amcheck` of all databases of a server behind this socket; it makes the extension.
pub async fn amcheck(
    install: &Install,
    socket_dir: &Path,
    port: u16,
    jobs: usize,
) -> Result<Said, PgError> {
    let (socket, port, jobs) =
        (socket_dir.display().to_string(), port.to_string(), jobs.to_string());
    let arguments = ["-h", &socket, "-p", &port, "-U", "postgres", "-w", "-j", &jobs];
    let quiet = ["--all", "--install-missing", "--maintenance-db", QUIET];
    let arguments = [&arguments[..], &quiet].concat();
    said(install, "pg_amcheck", &arguments).await
}

/// `pg_checksums --check` of a server that was shut down.
pub async fn checksums(install: &Install, data_dir: &Path) -> Result<Said, PgError> {
    let data_dir = data_dir.display().to_string();
    said(install, "pg_checksums", &["--check", "-D", &data_dir]).await
}

async fn said(install: &Install, name: &'static str, arguments: &[&str]) -> Result<Said, PgError> {
    if !install.program(name).exists() {
        return Ok(Said::NoProgram);
    }
    let ended = program::ended(install, name, arguments).await?;
    if ended.success {
        return Ok(Said::Sound);
    }
    Ok(Said::Amiss(first_words(&ended.said)))
}

/// pg_checksums counts first and complains then; pg_amcheck complains only.
fn first_words(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let errors: Vec<&str> =
        lines().filter(|line| line.contains("error:")).take(LINES_MAX).collect();
    match errors.is_empty() {
        true => lines().take(LINES_MAX).collect::<Vec<_>>().join("; "),
        false => errors.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_is_told_and_not_who_knocked_meanwhile() {
        let log = "2026-11-22 10:00:00 UTC [7] LOG:  starting PostgreSQL 15.1\n\
            2026-11-22 10:00:01 UTC [9] FATAL:  the database system is starting up\n\
            2026-11-22 10:00:02 UTC [8] FATAL:  WAL ends before consistent recovery point\n\
            2026-11-22 10:00:02 UTC [7] LOG:  startup process (PID 8) exited with exit code 1\n";
        assert_eq!(last_words(log), "FATAL:  WAL ends before consistent recovery point");
        assert_eq!(last_words("x [1] LOG:  a\nb\n"), "LOG:  a; b");
        assert_eq!(last_words(""), "");
    }

    #[test]
    fn a_checker_is_quoted_with_its_complaint() {
        let said =
            "Checksum operation completed\nBad checksums:  1\npg_checksums: error: block 3\n";
        assert_eq!(first_words(said), "pg_checksums: error: block 3");
        let said = "btree index \"app.public.i\":\n    ERROR:  invalid page in block 3\n";
        assert_eq!(
            first_words(said),
            "btree index \"app.public.i\":; ERROR:  invalid page in block 3"
        );
    }
}
