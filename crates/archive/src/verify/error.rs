//! Why nothing can be said of a backup.

use howdah_repo::RepoError;
use thiserror::Error;

use crate::restore::write::RestoreError;
use crate::ship::ShipError;
use crate::stop::Stopped;
use crate::threads::Fails;

#[derive(Debug, Error)]
pub enum VerifyError {
    #[error(transparent)]
    Repository(#[from] RepoError),
    #[error(transparent)]
    Wal(#[from] ShipError),
    #[error("no such backup: `{0}`\nhint: howdah backups")]
    Unknown(String),
    #[error("there is no backup\nhint: howdah backup")]
    NoBackup,
    #[error("the verification was given up")]
    Stopped,
    #[error("a thread of the verification ended: {0}")]
    Ended(String),
}

impl Fails for VerifyError {
    fn ended(panic: String) -> VerifyError {
        VerifyError::Ended(panic)
    }

    fn is_stopped(&self) -> bool {
        matches!(self, VerifyError::Stopped)
    }
}

impl From<Stopped> for VerifyError {
    fn from(_: Stopped) -> VerifyError {
        VerifyError::Stopped
    }
}

/// Of what reads frames for a restore, too.
impl From<RestoreError> for VerifyError {
    fn from(error: RestoreError) -> VerifyError {
        match error {
            RestoreError::Repository(error) => VerifyError::Repository(error),
            RestoreError::Stopped => VerifyError::Stopped,
            other => VerifyError::Ended(other.to_string()),
        }
    }
}
