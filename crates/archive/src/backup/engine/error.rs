//! Why there is no backup.

use std::time::Duration;

use howdah_base::{Lsn, Timeline};
use howdah_postgres::PgError;
use howdah_repo::RepoError;
use thiserror::Error;

use crate::stop::Stopped;
use crate::threads::Fails;

#[derive(Debug, Error)]
pub enum BackupError {
    #[error(transparent)]
    Server(#[from] PgError),
    #[error(transparent)]
    Repository(#[from] RepoError),
    #[error("cannot read the data directory: {0}")]
    Files(#[from] std::io::Error),
    #[error("pages of {0} bytes cannot be backed up, only of 8192")]
    PageSize(u32),
    #[error(
        "the server is of another cluster, system identifier {server}, than the repository's \
         lineage, `{lineage}`\nhint: give each cluster a lineage of its own"
    )]
    OtherCluster { server: u64, lineage: u64 },
    #[error("pg_control could not be read as it was written, {0} times")]
    Control(u32),
    #[error(
        "WAL of the backup is not in the repository after {within:?}: timeline {timeline}, \
         missing from `{from}`\nhint: see why WAL is not shipped, then take the backup again"
    )]
    NoWal { timeline: Timeline, from: Lsn, within: Duration },
    #[error(
        "WAL of the backup is not in the repository, and later WAL is: timeline {timeline}, missing \
         from `{from}`\nhint: howdah backup --node PRIMARY; a standby's backup begins where it \
         restarts, which may lie before the hole"
    )]
    WalLost { timeline: Timeline, from: Lsn },
    #[error(
        "the standby was promoted while the backup was taken from it, so nothing of it counts\n\
         hint: take it again"
    )]
    Promoted,
    #[error("the backup was given up")]
    Stopped,
    #[error("a thread of the backup ended: {0}")]
    Ended(String),
}

impl Fails for BackupError {
    fn ended(panic: String) -> BackupError {
        BackupError::Ended(panic)
    }

    fn is_stopped(&self) -> bool {
        matches!(self, BackupError::Stopped)
    }
}

impl From<Stopped> for BackupError {
    fn from(_: Stopped) -> BackupError {
        BackupError::Stopped
    }
}
