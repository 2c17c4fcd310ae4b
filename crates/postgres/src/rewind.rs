//! pg_rewind: a directory that left the leader's history goes back to where they parted.
//!
//! pg_rewind itself first brings a crashed server to a clean end (single-user recovery). That
//! writes new WAL at the end of the dead branch, which is about to be discarded; whoever is
//! still on the leader's history must not come here (PROTOCOL 6.6).

use std::path::{Path, PathBuf};

use crate::directory::{self, DirectoryFile};
use crate::initdb::beside;
use crate::install::Install;
use crate::program::{self, Ended};
use crate::{PgError, control, durable};

/// Rewinds against a running leader and gives pg_rewind's last word. The directory keeps its
/// identity. Until it is done a mark in `state_dir` says that the directory is worthless; the
/// mark stays when pg_rewind stopped in the middle, and when no other try can work: then only
/// a copy helps. The configuration files are the source's afterwards: [`crate::conf::write`]
/// comes before any start.
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
    // Single-user recovery refuses a directory that is marked as a standby's.
    let standby = data_dir.join("standby.signal");
    let was_standby = standby.exists();
    durable::remove(&standby)?;
    let logs = LogsAside::put(data_dir)?;
    let source = format!("{source} dbname=postgres");
    let target = data_dir.display().to_string();
    let arguments = ["--target-pgdata", &target, "--source-server", &source];
    let ended = program::ended(install, "pg_rewind", &arguments).await?;
    logs.take_back()?;
    if was_standby && !ended.said.contains(CHANGING) {
        durable::write(&standby, "")?;
    }
    if !ended.success {
        return Err(failed(ended, state_dir)?);
    }
    let newest = control::read(install, data_dir)?.newest_timeline();
    directory::forget_timelines_after(data_dir, newest)?;
    settle(ended, data_dir, state_dir, &identity)
}

/// It is done, or was not needed. The source's identity came along with its files.
fn settle(
    ended: Ended,
    data_dir: &Path,
    state_dir: &Path,
    identity: &DirectoryFile,
) -> Result<String, PgError> {
    directory::write_file(data_dir, identity)?;
    directory::mark_usable(state_dir)?;
    if ended.said.contains(SAME_TIMELINE) {
        return Err(PgError::Unexpected(
            "the leader's control file does not show its timeline yet: nothing was rewound"
                .to_owned(),
        ));
    }
    Ok(ended.said.lines().last().unwrap_or_default().to_owned())
}

/// Takes the mark off where nothing was changed and another try may work; the error to report.
fn failed(ended: Ended, state_dir: &Path) -> Result<PgError, PgError> {
    let said = ended.last_words();
    if ended.said.contains(CHANGING) {
        directory::mark_unusable(state_dir, &format!("a rewind stopped in the middle: {said}"))?;
    } else if IMPOSSIBLE.iter().any(|sign| ended.said.contains(sign)) {
        directory::mark_unusable(state_dir, &format!("it cannot be rewound: {said}"))?;
    } else {
        directory::mark_usable(state_dir)?;
    }
    Ok(PgError::Program { program: ended.program, said })
}

/// pg_rewind says this before it changes the first file (src/bin/pg_rewind/pg_rewind.c).
const CHANGING: &str = "rewinding from last common checkpoint";
/// With it pg_rewind ends well and does nothing: right for two that never parted, and wrong for
/// a leader before its first checkpoint (mended in PostgreSQL 16). The first do not come here.
const SAME_TIMELINE: &str = "are on the same timeline";
/// What no second try changes: another cluster, or WAL since the fork that is gone.
const IMPOSSIBLE: [&str; 9] = [
    "could not find common ancestor",
    "could not find previous WAL record",
    "could not read WAL record",
    "could not open file",
    "could not restore file",
    "are from different systems",
    "clusters are not compatible",
    "needs to use either data checksums",
    "unexpected control file",
];

/// pg_rewind makes `log` the source's too. The target's own logs tell how it came to this.
struct LogsAside {
    place: PathBuf,
    aside: PathBuf,
}

impl LogsAside {
    fn put(data_dir: &Path) -> Result<LogsAside, PgError> {
        let (place, aside) = (data_dir.join("log"), beside(data_dir, "log"));
        // One that is aside already was put there by a rewind that was interrupted: it is the
        // target's, and the one in place the source's.
        if place.exists() && !aside.exists() {
            durable::rename(&place, &aside)?;
        }
        Ok(LogsAside { place, aside })
    }

    fn take_back(self) -> Result<(), PgError> {
        if !self.aside.exists() {
            return Ok(());
        }
        durable::remove_tree(&self.place)?;
        durable::rename(&self.aside, &self.place)
    }
}
