//! What can go wrong with a repository, told apart as far as a caller branches on it.

use std::fmt;

use thiserror::Error;

/// The first thing that every caller must tell apart is [`RepoError::Absent`] from
/// [`RepoError::Trouble`]: PostgreSQL takes "no such WAL file" for the end of the archive and
/// promotes, so an outage must never look like one.
#[derive(Error, Debug)]
pub enum RepoError {
    /// The storage answered, and this is not there.
    #[error("not in the repository: `{name}`")]
    Absent { name: String },

    /// The storage did not answer, or not with an answer. Whether a write was done is unknown.
    #[error("{what}: `{place}`\nhint: {hint}")]
    Trouble { what: String, place: String, hint: String },

    /// Something else stands under this name, and nothing is ever overwritten.
    #[error("already there, with other content: `{name}`")]
    Taken { name: String },

    /// What was read is not what was written.
    #[error("damaged: {what}: `{name}`")]
    Damaged { name: String, what: String },

    /// The master key cannot be had, or is not this repository's.
    #[error("{what}\nhint: {hint}")]
    Key { what: String, hint: String },

    /// The lease is another's by now, or too near its end to be relied on.
    #[error("the repository's lease is lost: {what}")]
    LeaseLost { what: String },

    /// A name, an address or an argument that cannot be meant.
    #[error("{what}\nhint: {hint}")]
    Refused { what: String, hint: String },
}

impl RepoError {
    /// Whether the storage itself said that there is no such object.
    pub fn is_absent(&self) -> bool {
        matches!(self, RepoError::Absent { .. })
    }

    pub(crate) fn absent(name: impl fmt::Display) -> RepoError {
        RepoError::Absent { name: name.to_string() }
    }

    pub(crate) fn damaged(name: impl fmt::Display, what: impl fmt::Display) -> RepoError {
        RepoError::Damaged { name: name.to_string(), what: what.to_string() }
    }

    pub(crate) fn refused(what: impl fmt::Display, hint: &str) -> RepoError {
        RepoError::Refused { what: what.to_string(), hint: hint.to_owned() }
    }
}
