//! A new database cluster: made beside its place and renamed into it, so that a kill in the
//! middle leaves nothing that looks whole.

use std::path::{Path, PathBuf};

use crate::directory::{self, DirectoryFile};
use crate::install::Install;
use crate::{PgError, durable, program};

/// initdb with checksums, UTF-8, and no way in but the private socket's. What is in place must
/// be missing or empty.
pub async fn run(
    install: &Install,
    data_dir: &Path,
    locale: &str,
    file: &DirectoryFile,
) -> Result<(), PgError> {
    let making = beside(data_dir, "creating");
    let left = making.clone();
    blocking(move || durable::remove_tree(&left)).await?;
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
    let (file, data_dir) = (file.clone(), data_dir.to_owned());
    blocking(move || {
        directory::write_file(&making, &file)?;
        durable::rename(&making, &data_dir)
    })
    .await
}

/// `data` with `.suffix`, in the same directory and so on the same file system.
pub(crate) fn beside(data_dir: &Path, suffix: &str) -> PathBuf {
    let mut name = data_dir.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    data_dir.with_file_name(name)
}

/// Work on the disk, which may take long or hang: the caller's thread renews the lease.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PgError> + Send + 'static,
) -> Result<T, PgError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| PgError::Unexpected(format!("a thread ended: {error}")))?
}
