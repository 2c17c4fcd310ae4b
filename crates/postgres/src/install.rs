//! Which PostgreSQL lies on this machine, and which of them a node runs.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::PgError;

/// Majors that Howdah is made for; 14 is legacy.
pub const MAJORS: std::ops::RangeInclusive<u32> = 14..=19;

/// One installation's programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Install {
    pub bin_dir: PathBuf,
    pub major: u32,
    /// Such as `15.18`.
    pub version: String,
}

impl Install {
    /// The installation in `bin_dir`, if there is a whole one of a major that is known.
    pub fn at(bin_dir: &Path) -> Option<Install> {
        let whole = ["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata"];
        if !whole.iter().all(|program| bin_dir.join(program).exists()) {
            return None;
        }
        let output = Command::new(bin_dir.join("postgres")).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"; betas read "19beta1".
        let version = text.split_whitespace().nth(2)?.to_owned();
        let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
        let major = digits.parse().ok().filter(|major| MAJORS.contains(major))?;
        Some(Install { bin_dir: bin_dir.to_owned(), major, version })
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// Every installation: the named directory only, else PATH and the usual places, newest first.
pub fn find(named: Option<&Path>, path: &str) -> Vec<Install> {
    if let Some(dir) = named {
        return Install::at(dir).into_iter().collect();
    }
    let mut dirs: Vec<PathBuf> = path.split(':').filter_map(|dir| real(Path::new(dir))).collect();
    for (root, tail) in
        [("/usr/lib/postgresql", "bin"), ("/usr", "bin"), ("/usr/local", "bin"), ("/opt", "bin")]
    {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let postgres = entries.filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            root.ends_with("postgresql")
                || name.starts_with("pgsql")
                || name.starts_with("postgres")
        });
        dirs.extend(postgres.map(|entry| entry.path().join(tail)));
    }
    dirs.sort();
    dirs.dedup();
    let mut found: Vec<Install> = dirs.iter().filter_map(|dir| Install::at(dir)).collect();
    found.sort_by_key(|install| std::cmp::Reverse(install.major));
    found
}

/// Where the programs of a PATH entry really lie: distributions put links there.
fn real(dir: &Path) -> Option<PathBuf> {
    let program = fs::canonicalize(dir.join("postgres")).ok()?;
    program.parent().map(Path::to_owned)
}

/// The installation for a data directory: its own major, else the wanted one, else the newest.
///
/// # Errors
/// None fits: what was found, and what to install.
pub fn choose(found: &[Install], wanted: Option<u32>, data_dir: &Path) -> Result<Install, PgError> {
    let existing = fs::read_to_string(data_dir.join("PG_VERSION")).ok();
    let existing: Option<u32> = existing.and_then(|text| text.trim().parse().ok());
    if let (Some(existing), Some(wanted)) = (existing, wanted)
        && existing != wanted
    {
        return Err(PgError::Unusable {
            what: format!(
                "the data directory is of PostgreSQL {existing}, the cluster file wants {wanted}: \
                 `{}`",
                data_dir.display()
            ),
            hint: format!("set postgresql.major = {existing}, or name another data_dir"),
        });
    }
    let major = existing.or(wanted);
    let fit = found.iter().find(|install| major.is_none_or(|major| major == install.major));
    fit.cloned().ok_or_else(|| none_fits(found, major, data_dir, existing.is_some()))
}

fn none_fits(found: &[Install], major: Option<u32>, data_dir: &Path, existing: bool) -> PgError {
    let mut what = match major {
        Some(major) => format!("no PostgreSQL {major} was found"),
        None => "no PostgreSQL was found".to_owned(),
    };
    if existing {
        let _ = write!(what, ", which the data directory is of: `{}`", data_dir.display());
    }
    for install in found {
        let _ = write!(what, "; there is {} in `{}`", install.version, install.bin_dir.display());
    }
    let package = major.map_or_else(|| "postgresql".to_owned(), |m| format!("postgresql-{m}"));
    PgError::Unusable {
        what,
        hint: format!("apt-get install {package}, or name postgresql.bin_dir"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(major: u32, minor: u32) -> Install {
        let bin_dir = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
        Install { bin_dir, major, version: format!("{major}.{minor}") }
    }

    #[test]
    fn the_wanted_major_else_the_newest() {
        let found = [install(17, 1), install(15, 18)];
        let chosen = |wanted| choose(&found, wanted, Path::new("/nowhere")).map(|i| i.major);
        assert_eq!(chosen(None).expect("newest"), 17);
        assert_eq!(chosen(Some(15)).expect("wanted"), 15);
        let error = chosen(Some(16)).expect_err("not there").to_string();
        assert!(error.contains("no PostgreSQL 16 was found; there is 17.1 in"), "{error}");
        assert!(error.contains("hint: apt-get install postgresql-16"), "{error}");
    }

    #[test]
    fn the_directory_has_the_last_word() {
        let data_dir = std::env::temp_dir().join(format!("howdah-install-{}", std::process::id()));
        fs::create_dir_all(&data_dir).expect("make it");
        fs::write(data_dir.join("PG_VERSION"), "15\n").expect("write");
        let found = [install(17, 1), install(15, 18)];
        assert_eq!(choose(&found, None, &data_dir).expect("its own").major, 15);
        let error = choose(&found, Some(17), &data_dir).expect_err("another").to_string();
        assert!(error.contains("hint: set postgresql.major = 15"), "{error}");
        let error = choose(&found[..1], None, &data_dir).expect_err("not there").to_string();
        assert!(error.contains("which the data directory is of"), "{error}");
        fs::remove_dir_all(&data_dir).expect("clean up");
    }

    #[test]
    fn the_installed_one_is_found_by_its_place_and_by_its_name() {
        let found = find(None, "/nowhere");
        let newest = found.first().expect("a PostgreSQL is installed");
        assert!(newest.version.starts_with(&newest.major.to_string()), "{newest:?}");
        assert_eq!(find(Some(&newest.bin_dir), "").first(), Some(newest));
        assert_eq!(find(Some(Path::new("/nowhere")), "/usr/bin"), []);
    }
}
