//! What can go wrong around the guard, told apart where a caller acts differently.

use std::io;
use std::path::{Path, PathBuf};

use crate::message::Refusal;

/// Why something about the guard failed.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error(
        "a socket's path may have {max} bytes, this one has {len}: `{}`\n\
         hint: choose a shorter `state_dir`", path.display()
    )]
    PathTooLong { path: PathBuf, len: usize, max: usize },

    #[error(
        "another guard works here, its lock: `{}`\n\
         hint: attach to it; one guard owns one data directory", lock.display()
    )]
    AlreadyRuns { lock: PathBuf },

    #[error("cannot {action}: {source}: `{}`", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    #[error("cannot {action}: {source}")]
    System { action: &'static str, source: io::Error },

    #[error(
        "the guard did not come up, {why}: `{}`\n\
         hint: read its log: `{}`", socket.display(), log.display()
    )]
    NotUp { why: String, socket: PathBuf, log: PathBuf },

    /// The connection has ended: the guard was killed, or it has left.
    #[error("the guard is gone")]
    Gone,

    /// It may still do what it was asked.
    #[error("the guard did not answer, within ms: `{ms}`")]
    NoAnswer { ms: u64 },

    #[error(transparent)]
    Refused(#[from] Refusal),

    #[error(
        "processes of the instance do not end, seen after {ms} ms: `{pids:?}`\n\
         hint: a process that waits for a dead disk (state D) ends only with the disk"
    )]
    Survivors { pids: Vec<i32>, ms: u64 },
}

impl GuardError {
    /// For `map_err` on file operations.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> GuardError + use<E> {
        let path = path.to_owned();
        move |source| GuardError::Io { action, path, source: source.into() }
    }

    /// For `map_err` on system calls that concern no file.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> GuardError {
        move |source| GuardError::System { action, source: source.into() }
    }
}
