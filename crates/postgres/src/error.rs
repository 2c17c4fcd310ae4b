//! What can go wrong with the local server, told apart where a caller acts differently.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why something about the local PostgreSQL failed.
#[derive(Debug, Error)]
pub enum PgError {
    #[error("cannot {doing}, {source}: `{}`", .path.display())]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
    /// One of PostgreSQL's programs ended with an error; its last words.
    #[error("{program} failed: {said}")]
    Program { program: &'static str, said: String },
    #[error("the server refused: {message} (SQLSTATE {sqlstate})")]
    Refused { sqlstate: String, message: String },
    /// The connection failed, or was lost.
    #[error("no connection to the server: {0}")]
    Lost(String),
    #[error("the server did not answer within {0:?}")]
    Silent(std::time::Duration),
    #[error("{what}\nhint: {hint}")]
    Unusable { what: String, hint: String },
    /// Something was not as expected; a caller tries again or starts over.
    #[error("{0}")]
    Unexpected(String),
}

impl PgError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> PgError {
        let path = path.to_owned();
        move |source| PgError::Io { doing, path, source }
    }

    /// Whether the server refused with this SQLSTATE.
    pub fn is_refused(&self, code: &str) -> bool {
        matches!(self, PgError::Refused { sqlstate, .. } if sqlstate == code)
    }
}

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> PgError {
        match error.as_db_error() {
            Some(db) => PgError::Refused {
                sqlstate: db.code().code().to_owned(),
                message: db.message().to_owned(),
            },
            None => PgError::Lost(error.to_string()),
        }
    }
}
