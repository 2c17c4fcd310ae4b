//! pg_rewind: a directory that left the leader's history goes back to where they parted.

use std::path::Path;

use crate::install::Install;
use crate::{PgError, directory, program};

/// Rewinds against a running leader and gives pg_rewind's last word. The directory keeps its
/// identity. Until it is done a marker says that the directory is worthless; pg_rewind itself
/// first brings a crashed server to a clean end.
///
/// # Errors
/// Also when the leader's control file does not show its timeline yet: pg_rewind would then
/// take the two for the same and leave the directory as it is (PROTOCOL section 7).
pub async fn run(
    install: &Install,
    data_dir: &Path,
    state_dir: &Path,
    source: &str,
) -> Result<String, PgError> {
    let identity = directory::read_file(data_dir)?
        .ok_or_else(|| PgError::Unexpected("the directory has no identity".to_owned()))?;
    directory::mark_unusable(state_dir, "a rewind was interrupted")?;
    let source = format!("{source} dbname=postgres");
    let target = data_dir.display().to_string();
    let arguments = ["--target-pgdata", &target, "--source-server", &source];
    let result = program::run(install, "pg_rewind", &arguments).await;
    let said = match result {
        Ok(said) => said,
        Err(error) => {
            restore_if_untouched(data_dir, state_dir, &error)?;
            return Err(error);
        }
    };
    // The source's identity came along with its files.
    directory::write_file(data_dir, &identity)?;
    directory::mark_usable(state_dir)?;
    Ok(said.lines().last().unwrap_or_default().to_owned())
}

/// pg_rewind that could not even begin has changed nothing: the directory is as good as before.
fn restore_if_untouched(data_dir: &Path, state_dir: &Path, error: &PgError) -> Result<(), PgError> {
    let said = error.to_string();
    let before_writing = ["could not connect", "connection to server", "could not find common"];
    if before_writing.iter().any(|sign| said.contains(sign)) && data_dir.join("PG_VERSION").exists()
    {
        directory::mark_usable(state_dir)?;
    }
    Ok(())
}
