//! A new database cluster: made beside its place and renamed into it, so that a kill in the
//! middle leaves nothing that looks whole.

use std::path::{Path, PathBuf};

use tokio::fs;

use crate::directory::{self, DirectoryFile};
use crate::install::Install;
use crate::{PgError, durable, program};

/// initdb with checksums, UTF-8, and no way in but the private socket's.
pub async fn run(
    install: &Install,
    data_dir: &Path,
    locale: &str,
    file: &DirectoryFile,
) -> Result<(), PgError> {
    let making = beside(data_dir, "creating");
    clear(&making).await?;
    let (target, locale) = (making.display().to_string(), format!("--locale={locale}"));
    let arguments = [
        "--username=postgres",
        "--auth-local=peer",
        "--auth-host=reject",
        "--data-checksums",
        "--encoding=UTF8",
        locale.as_str(),
        "--pgdata",
        target.as_str(),
    ];
    program::run(install, "initdb", &arguments).await?;
    directory::write_file(&making, file)?;
    place(&making, data_dir).await
}

/// `data` with `.suffix`, in the same directory and so on the same file system.
pub(crate) fn beside(data_dir: &Path, suffix: &str) -> PathBuf {
    let mut name = data_dir.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    data_dir.with_file_name(name)
}

/// What an earlier attempt left.
pub(crate) async fn clear(path: &Path) -> Result<(), PgError> {
    match fs::remove_dir_all(path).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(PgError::io("clear", path)(error)),
    }
}

/// Renames a finished directory into its place; an empty one there is replaced.
pub(crate) async fn place(made: &Path, data_dir: &Path) -> Result<(), PgError> {
    fs::rename(made, data_dir).await.map_err(PgError::io("rename into place", data_dir))?;
    durable::sync_parent(data_dir)
}
