//! WAL of another server's disk, on its way into a standby through PostgreSQL's own
//! `restore_command` (documentation, "Archive Recovery Settings").
//!
//! Files are fetched whole into a folder of their own below `pg_wal`, which neither
//! pg_basebackup nor pg_ls_waldir looks into; the command moves one from there to where the
//! startup process wants it. PostgreSQL prefers what the command gives over a segment that the
//! standby has received itself. So a file must not stay there longer than the fetch that brought
//! it: after the leader had gone on, the old copy would take the place of a segment with commits
//! that this standby has confirmed since. Every other write of the configuration clears the folder.

use std::path::{Path, PathBuf};

use howdah_base::WalFile;

use crate::{PgError, durable};

/// Below the data directory, in which PostgreSQL runs its commands.
const FOLDER: &str = "pg_wal/howdah_tail";
/// `restore_command` while fetched files are to be replayed: a rename, so that it costs neither
/// time nor space. PostgreSQL makes the file durable when it puts it into its place.
pub const RESTORE_COMMAND: &str = r#"mv "pg_wal/howdah_tail/%f" "%p""#;

/// Makes an empty folder for fetched files. Blocking.
pub fn begin(data_dir: &Path) -> Result<(), PgError> {
    clear(data_dir)?;
    let folder = data_dir.join(FOLDER);
    std::fs::create_dir(&folder).map_err(PgError::io("make", &folder))
}

/// Where `file` is put while it is fetched, and where it lies once it is whole.
pub fn places(data_dir: &Path, file: &WalFile) -> (PathBuf, PathBuf) {
    let folder = data_dir.join(FOLDER);
    (folder.join(format!("{file}.part")), folder.join(file.as_str()))
}

/// Removes the folder with all that lies there. Blocking.
pub fn clear(data_dir: &Path) -> Result<(), PgError> {
    durable::remove_tree(&data_dir.join(FOLDER))
}
