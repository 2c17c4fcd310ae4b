//! What starts the postmaster. The guard does it: it must be PostgreSQL's parent.

use std::path::{Path, PathBuf};

use crate::install::Install;

/// Program, arguments and the whole environment. Everything else stands in postgresql.conf.
pub fn start_command(
    install: &Install,
    data_dir: &Path,
) -> (PathBuf, Vec<String>, Vec<(String, String)>) {
    let args = vec!["-D".to_owned(), data_dir.display().to_string()];
    (install.program("postgres"), args, environment(install))
}

/// The environment of the server and of PostgreSQL's other programs. The server's own commands
/// (archive_command) find what this process would find.
pub(crate) fn environment(install: &Install) -> Vec<(String, String)> {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
    let path = format!("{}:{path}", install.bin_dir.display());
    vec![("PATH".to_owned(), path), ("LC_ALL".to_owned(), "C.UTF-8".to_owned())]
}
