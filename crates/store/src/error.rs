//! What can go wrong with a store, told apart where a caller acts differently.

use std::path::PathBuf;

use thiserror::Error;

/// Why a call failed. Whether a write was applied is unknown after any of them.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum StoreError {
    /// No answer in time. It may be there again at the next call.
    #[error("the store did not answer in time, {why}: `{store}`")]
    Unreachable { store: String, why: String },
    /// The value under `key` is not what its reader expects.
    #[error(
        "a record does not read ({why}): `{key}`\n\
         hint: a newer howdah may have written it; run the same version on every node"
    )]
    Damaged { key: String, why: String },
    /// The driver's file is damaged.
    #[error(
        "the store's file is damaged ({why}): `{}`\n\
         hint: stop every node of the cluster, keep the file for analysis, \
         and put a copy of its directory back", .path.display()
    )]
    DamagedFile { path: PathBuf, why: String },
    /// The store cannot be used as it was set up; waiting does not help.
    #[error("the store cannot be used, {why}: `{store}`\nhint: {hint}")]
    Unusable { store: String, why: String, hint: &'static str },
    /// The system refused to read or write.
    #[error("the store cannot be read or written, {why}: `{store}`\nhint: {hint}")]
    Io { store: String, why: String, hint: &'static str },
}
