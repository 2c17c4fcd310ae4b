//! What an error of SQLite means for whoever runs the store.

use std::path::Path;

use rusqlite::{Error, ErrorCode};

use crate::StoreError;

/// SQLite's error as the store's.
pub(super) fn judge(file: &Path, error: &Error) -> StoreError {
    let store = file.display().to_string();
    let Some(code) = error.sqlite_error_code() else {
        // A column of the wrong type, a row that is missing: not a file that this code wrote.
        return damaged(file, error.to_string());
    };
    let why = error.to_string();
    match code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => {
            StoreError::Unreachable { store, why: "another process holds it".to_owned() }
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SchemaChanged => {
            damaged(file, why)
        }
        // "no such table" and the like.
        ErrorCode::Unknown => damaged(file, why),
        ErrorCode::DiskFull => StoreError::Io {
            store,
            why: "the disk is full".to_owned(),
            hint: "free some space there; howdah goes on by itself",
        },
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            StoreError::Unusable { store, why, hint: WRITABLE }
        }
        _ => StoreError::Io { store, why, hint: "look into the kernel's log (dmesg)" },
    }
}

pub(super) fn damaged(file: &Path, why: String) -> StoreError {
    StoreError::DamagedFile { path: file.to_owned(), why }
}

pub(super) fn newer(file: &Path, version: i64) -> StoreError {
    StoreError::Unusable {
        store: file.display().to_string(),
        why: format!("it has version {version}"),
        hint: "a newer howdah wrote it; run the same version on every node",
    }
}

const WRITABLE: &str = "give the file and its directory to the user that howdah runs as";
