//! What can be wrong with keys and certificates, in words that say what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a key or certificate cannot be made, kept or used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot {action}: {source}: `{}`", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },

    #[error(
        "a private key must be closed to everybody but its owner, its mode is {mode:04o}: `{path}`\n\
         hint: find out who could read it; then `chmod 600 {path}`",
        path = path.display()
    )]
    KeyMode { path: PathBuf, mode: u32 },

    #[error(
        "the cluster CA has a certificate but no key: `{path}`\n\
         hint: put the key back from where it was kept; a new CA would cut off every node",
        path = path.display()
    )]
    AuthorityKeyMissing { path: PathBuf },

    #[error("cannot use {what}: {reason}: `{}`", path.display())]
    Unusable { what: &'static str, path: PathBuf, reason: String },

    #[error(
        "neither a host name nor an address: `{0}`\n\
         hint: correct `host` of this node in the cluster file"
    )]
    BadHost(String),

    #[error(
        "an operator's name has letters, digits and `.` `_` `-` `@`, at most 40: `{0}`\n\
         hint: howdah certs operator anna"
    )]
    BadOperator(String),

    #[error("cannot make {what}: {reason}")]
    Crypto { what: &'static str, reason: String },
}

impl TlsError {
    /// For `map_err` on file operations.
    pub(crate) fn file(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> TlsError + use<> {
        let path = path.to_owned();
        move |source| TlsError::File { action, path, source }
    }

    /// For `map_err` on what a library refuses to read.
    pub(crate) fn unusable<E: ToString>(
        what: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> TlsError + use<E> {
        let path = path.to_owned();
        move |error| TlsError::Unusable { what, path, reason: error.to_string() }
    }

    /// For `map_err` on what a library refuses to make.
    pub(crate) fn crypto<E: ToString>(what: &'static str) -> impl FnOnce(E) -> TlsError + use<E> {
        move |error| TlsError::Crypto { what, reason: error.to_string() }
    }
}
