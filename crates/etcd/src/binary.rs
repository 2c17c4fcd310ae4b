//! The etcd that is installed on this machine.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::KeeperError;

/// An etcd that can be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binary {
    pub path: PathBuf,
    /// Major and minor version.
    pub version: (u32, u32),
}

/// Learners came with it.
const OLDEST: (u32, u32) = (3, 4);
/// Where packages and people put it, besides PATH.
const USUAL: [&str; 5] =
    ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/opt/etcd", "/usr/lib/etcd/bin"];

/// The etcd that the file names, else the first one in PATH and the usual places. Asks it for
/// its version.
///
/// # Errors
/// When there is none, or none that serves.
pub fn find(named: Option<&Path>) -> Result<Binary, KeeperError> {
    let places = match named {
        Some(path) => vec![path.to_owned()],
        None => candidates(&env::var_os("PATH").unwrap_or_default()),
    };
    let Some(path) = places.iter().find(|path| path.is_file()) else {
        let looked: Vec<String> = places
            .iter()
            .map(
                |path| if named.is_some() { path.as_path() } else { path.parent().unwrap_or(path) },
            )
            .map(|path| format!("`{}`", path.display()))
            .collect();
        return Err(KeeperError::NoBinary { looked: looked.join(", ") });
    };
    let not_runnable = |why: String| KeeperError::NotRunnable { path: path.clone(), why };
    let output = Command::new(path)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_runnable(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some((version, said)) = version(&text) else {
        return Err(not_runnable(format!("it answers `{}`", text.lines().next().unwrap_or(""))));
    };
    if version < OLDEST {
        return Err(KeeperError::TooOld { path: path.clone(), version: said });
    }
    Ok(Binary { path: path.clone(), version })
}

fn candidates(path: &std::ffi::OsStr) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = env::split_paths(path).filter(|p| p.is_absolute()).collect();
    folders.extend(USUAL.iter().map(PathBuf::from));
    let mut seen = std::collections::BTreeSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders.into_iter().map(|folder| folder.join("etcd")).collect()
}

/// From the first line, `etcd Version: 3.4.23`.
fn version(text: &str) -> Option<((u32, u32), String)> {
    let said = text.lines().find_map(|line| line.strip_prefix("etcd Version: "))?.trim();
    let mut parts = said.split('.');
    let mut next = || parts.next()?.parse().ok();
    Some(((next()?, next()?), said.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_and_the_rest_is_not_etcd() {
        let text = "etcd Version: 3.4.23\nGit SHA: x\nGo Version: go1.19.8\n";
        assert_eq!(version(text), Some(((3, 4), "3.4.23".to_owned())));
        assert_eq!(version("etcd Version: 3.6.0-rc.1\n").map(|v| v.0), Some((3, 6)));
        assert_eq!(version("usage: something else"), None);
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_install() {
        let error = find(Some(Path::new("/nowhere/etcd"))).expect_err("there is none").to_string();
        assert!(error.contains("`/nowhere/etcd`") && error.contains("apt-get install"), "{error}");
        let error = find(Some(Path::new("/bin/true"))).expect_err("no etcd").to_string();
        assert!(error.contains("it answers `"), "{error}");
    }

    #[test]
    fn each_folder_is_looked_at_once() {
        let found = candidates("/usr/bin:relative:/usr/bin".as_ref());
        assert_eq!(found.iter().filter(|p| p.ends_with("bin/etcd")).count(), 3, "{found:?}");
    }
}
