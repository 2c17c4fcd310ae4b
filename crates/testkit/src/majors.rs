//! Other majors of PostgreSQL than the machine's own, as `scripts/majors.sh` brings them.

use std::path::{Path, PathBuf};

use crate::PgNode;

/// Names the major that every cluster under test runs, such as `18`.
pub const CHOSEN: &str = "HOWDAH_TEST_MAJOR";

/// Those that `scripts/majors.sh` knows.
pub const MAJORS: [u32; 3] = [16, 17, 18];

/// Tells a story on a fresh server, not started, of the machine's own major and of the newest.
#[track_caller]
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
pub fn each(story: impl Fn(PgNode)) {
    let found = [15, 18].map(|major| (major, programs(major)));
    assert!(found.iter().any(|(_, programs)| programs.is_some()), "no PostgreSQL is here");
    for (major, programs) in found {
        match programs {
            Some(programs) => story(PgNode::of(&programs)),
            None => eprintln!("PostgreSQL {major} is not here: nothing was shown of it"),
        }
    }
}

/// The programs of a major; `None` where the script has not brought it.
pub fn bin_dir(major: u32) -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target =
        target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"));
    let whole = target.join(format!("postgresql/majors/{major}"));
    whole.join("whole").exists().then_some(())?;
    // Servers see other paths than the test: nothing relative helps them.
    whole.join("bin").canonicalize().ok()
}

/// The same, or the machine's own where that is of this major.
pub fn programs(major: u32) -> Option<PathBuf> {
    let own = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    bin_dir(major).or_else(|| own.join("postgres").exists().then_some(own))
}

/// The programs of the major that [`CHOSEN`] names; `None` when it names none. Panics when it
/// names one that is not here: a test of 18 that ran on 15 would show nothing.
#[track_caller]
pub fn chosen_bin_dir() -> Option<PathBuf> {
    let named = std::env::var(CHOSEN).ok().filter(|named| !named.is_empty())?;
    let found = named.parse().ok().and_then(bin_dir);
    Some(found.unwrap_or_else(|| panic!("no PostgreSQL `{named}`; type `scripts/majors.sh`")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn each_major_that_is_here_is_whole_and_what_it_says() {
        for major in MAJORS {
            let Some(programs) = bin_dir(major) else {
                eprintln!("PostgreSQL {major} is not here: nothing was shown of it");
                continue;
            };
            for program in ["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata"] {
                let output = Command::new(programs.join(program)).arg("--version").output();
                let said =
                    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
                let wanted = format!("(PostgreSQL) {major}.");
                assert!(said.as_ref().is_ok_and(|said| said.contains(&wanted)), "{said:?}");
            }
        }
    }
}
