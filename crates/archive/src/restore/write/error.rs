//! Why nothing was restored.

use std::io;
use std::path::{Path, PathBuf};

use howdah_postgres::PgError;
use howdah_repo::RepoError;
use thiserror::Error;

use crate::stop::Stopped;
use crate::threads::Fails;

#[derive(Debug, Error)]
pub enum RestoreError {
    #[error("{}{}", .0, next(.0))]
    Repository(#[from] RepoError),
    #[error(transparent)]
    Server(#[from] PgError),
    #[error("cannot {doing}, {source}: `{}`{}", .path.display(), may_not(.source))]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "not empty, it is not touched: `{}`\nhint: name an empty folder, or move away what is there; \
         --delta restores over a data directory of this cluster",
        .0.display()
    )]
    NotEmpty(PathBuf),
    #[error("a server runs there, process {pid}: `{}`\nhint: stop it first", .place.display())]
    Running { place: PathBuf, pid: i32 },
    #[error(
        "the server of process {pid} uses what it links to: `{}`\nhint: the directory is a copy of that \
         server's; restore into an empty folder, with --tablespace OLD=NEW for its tablespaces",
        .place.display()
    )]
    InUse { place: PathBuf, pid: i32 },
    #[error(
        "it links to `{}`, and nobody can say whether process {pid}, a server of another user, uses \
         that\nhint: --force, if you know that it does not",
        .place.display()
    )]
    PerhapsInUse { place: PathBuf, pid: i32 },
    #[error(
        "another restore is at work there: `{}`\nhint: wait for its end, or name another folder",
        .0.display()
    )]
    Busy(PathBuf),
    #[error(
        "no data directory, and no restore that was interrupted: `{}`\nhint: name an empty folder, or \
         the data directory that is to be mended",
        .0.display()
    )]
    NoDirectory(PathBuf),
    #[error(
        "it is another server's directory, its system identifier is {theirs} and not {ours}: `{}`\n\
         hint: name the directory of this cluster, or an empty folder",
        .place.display()
    )]
    OtherSystem { place: PathBuf, theirs: u64, ours: u64 },
    #[error(
        "its pg_control cannot be read, so nobody knows whose it is: `{}`\nhint: --force, if you do",
        .0.display()
    )]
    Unknown(PathBuf),
    #[error(
        "{free} MB are free, {needed} MB are needed: `{}`\nhint: make room, or name a folder of \
         another disk; nothing was touched",
        .place.display()
    )]
    NoRoom { place: PathBuf, needed: u64, free: u64 },
    #[error(
        "a pack of the backup {what}: `{name}`\nhint: restore another backup (--backup); howdah verify names \
         all that is wrong; nothing was touched"
    )]
    Pack { name: String, what: String },
    #[error("the backup has no tablespace `{0}`\nhint: {1}")]
    NoTablespace(u32, String),
    #[error("a tablespace needs a folder of its own, by its whole path: `{}`", .0.display())]
    BadPlace(PathBuf),
    #[error("what was restored is not what was backed up: `{0}`\nhint: take another backup")]
    Differs(String),
    #[error("the restore was given up")]
    Stopped,
    #[error("a thread of the restore ended: {0}")]
    Ended(String),
}

fn may_not(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "\nhint: servers' files are written by the servers' user (`run_as`); give that user the folder, \
             chown, or name one of its own"
        }
        _ => "",
    }
}

impl RestoreError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
        let path = path.to_owned();
        move |source| RestoreError::Io { doing, path, source }
    }
}

/// What is there by then is nobody's data directory yet, and a good ground for another backup.
fn next(error: &RepoError) -> &'static str {
    match error {
        RepoError::Damaged { .. } | RepoError::Absent { .. } => {
            "\nhint: restore another backup (--backup), with --delta where this one has begun to write; \
             howdah verify names all that is wrong"
        }
        _ => "",
    }
}

impl Fails for RestoreError {
    fn ended(panic: String) -> RestoreError {
        RestoreError::Ended(panic)
    }

    fn is_stopped(&self) -> bool {
        matches!(self, RestoreError::Stopped)
    }
}

impl From<Stopped> for RestoreError {
    fn from(_: Stopped) -> RestoreError {
        RestoreError::Stopped
    }
}
