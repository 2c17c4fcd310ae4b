//! How the server process is started; the guard does it.

use std::path::{Path, PathBuf};

use crate::install::Install;

/// Program, arguments and the whole environment. Everything else stands in postgresql.conf.
pub fn start_command(
    install: &Install,
    data_dir: &Path,
) -> (PathBuf, Vec<String>, Vec<(String, String)>) {
    let args = vec!["-D".to_owned(), data_dir.display().to_string()];
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
    let env = vec![("PATH".to_owned(), path), ("LC_ALL".to_owned(), "C.UTF-8".to_owned())];
    (install.program("postgres"), args, env)
}
