//! Timelines on disk: real history files, and the placeholders that make a promotion choose a
//! certain number.
//!
//! PostgreSQL finds the newest timeline by asking, number by number, whether a history file
//! exists, and stops at the first gap (src/backend/access/transam/timeline.c,
//! findNewestTimeLine). Two things follow, both shown by tests:
//!
//! - A promotion takes the number after the first gap: whoever wants 5 after 1 needs files 2 to 4.
//! - The placeholders must *stay* after the promotion. A standby that comes from timeline 1 asks
//!   its new primary for every history file up to 5 (walreceiver.c,
//!   WalRcvFetchTimeLineHistoryFiles), fails where one is missing, and would not find 5 behind a
//!   gap.
//!
//! Those of a promotion that did not happen must go, though: a standby would take the last one
//! for its target and find no WAL that it may replay (seen). [`clear_reserved`] removes them.

use std::fs;
use std::path::{Path, PathBuf};

use howdah_base::{History, Lsn, Timeline};

use crate::control::ControlData;
use crate::{PgError, durable};

/// A comment, so PostgreSQL reads a timeline without ancestors, which is nobody's ancestor.
const PLACEHOLDER: &str = "# reserved by howdah: no server was ever on this timeline\n";
/// Jumps are a few numbers; a wild one would fill the directory.
const RESERVED_MAX: u32 = 10_000;

/// Makes the next promotion of a server on timeline `from` take exactly `wanted`. Blocking; the
/// server may run.
pub fn reserve_timeline(data_dir: &Path, from: Timeline, wanted: Timeline) -> Result<(), PgError> {
    if wanted <= from || wanted.0 - from.0 > RESERVED_MAX {
        return Err(PgError::Unexpected(format!("timeline {from} cannot go over to `{wanted}`")));
    }
    let taken = path(data_dir, wanted);
    if taken.exists() {
        return Err(PgError::Unexpected(format!("the timeline is taken: `{}`", taken.display())));
    }
    for number in from.0 + 1..wanted.0 {
        let path = path(data_dir, Timeline(number));
        if !path.exists() {
            durable::write(&path, PLACEHOLDER)?;
        }
    }
    Ok(())
}

/// Removes placeholders above every real timeline: those of a promotion that did not happen.
/// Not while one is under way.
pub fn clear_reserved(data_dir: &Path) -> Result<(), PgError> {
    let (real, reserved) = listed(data_dir)?;
    let newest = real.iter().map(|history| history.timeline).max().unwrap_or(Timeline(1));
    for timeline in reserved.into_iter().filter(|timeline| *timeline > newest) {
        durable::remove(&path(data_dir, timeline))?;
    }
    Ok(())
}

/// The history of `timeline`, from `pg_wal`.
pub fn read_history(data_dir: &Path, timeline: Timeline) -> Result<History, PgError> {
    if timeline.0 <= 1 {
        return Ok(History::root(timeline));
    }
    read(&path(data_dir, timeline), timeline)
}

/// The histories that the directory's WAL may lie on: newer timelines that continue the control
/// file's and of which a segment was received, newest first, then the control file's own. The
/// control file follows only at the next restartpoint.
pub(crate) fn received_histories(
    data_dir: &Path,
    control: &ControlData,
) -> Result<Vec<History>, PgError> {
    let base = control.newest_timeline();
    let segments = timelines_of_segments(data_dir)?;
    let (mut real, _) = listed(data_dir)?;
    real.retain(|history| {
        let leaves: Option<Lsn> = history.leaves(base).flatten();
        history.timeline > base
            && segments.contains(&history.timeline)
            && leaves.is_some_and(|fork| fork >= control.redo)
    });
    real.sort_by_key(|history| std::cmp::Reverse(history.timeline));
    real.push(read_history(data_dir, base)?);
    Ok(real)
}

fn timelines_of_segments(data_dir: &Path) -> Result<Vec<Timeline>, PgError> {
    let names = names(&data_dir.join("pg_wal"))?;
    let segments = names.iter().filter(|name| name.len() == 24);
    Ok(segments.filter_map(|name| number(name.get(..8)?)).collect())
}

/// Real histories, and placeholders' numbers.
fn listed(data_dir: &Path) -> Result<(Vec<History>, Vec<Timeline>), PgError> {
    let folder = data_dir.join("pg_wal");
    let (mut real, mut reserved) = (Vec::new(), Vec::new());
    for name in names(&folder)? {
        let Some(timeline) = name.strip_suffix(".history").and_then(number) else { continue };
        let history = read(&folder.join(&name), timeline)?;
        if history.forks.is_empty() { reserved.push(timeline) } else { real.push(history) }
    }
    Ok((real, reserved))
}

fn read(path: &Path, timeline: Timeline) -> Result<History, PgError> {
    let text = fs::read_to_string(path).map_err(PgError::io("read", path))?;
    History::parse(timeline, &text)
        .map_err(|bad| PgError::Unexpected(format!("{bad} in `{}`", path.display())))
}

fn names(folder: &Path) -> Result<Vec<String>, PgError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(PgError::io("list", folder))? {
        let entry = entry.map_err(PgError::io("list", folder))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn number(hex: &str) -> Option<Timeline> {
    let digits = hex.len() == 8 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u32::from_str_radix(hex, 16).ok().map(Timeline)).flatten()
}

fn path(data_dir: &Path, timeline: Timeline) -> PathBuf {
    data_dir.join("pg_wal").join(format!("{:08X}.history", timeline.0))
}

/// Removes WAL and history of timelines above `last`, which a rewind leaves behind: they belong
/// to the branch that was discarded, and a standby would be taken to be on it.
pub(crate) fn forget_timelines_after(data_dir: &Path, last: Timeline) -> Result<(), PgError> {
    let dir = data_dir.join("pg_wal");
    let entries = fs::read_dir(&dir).map_err(PgError::io("read", &dir))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let digits = name.get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let is_wal = name.len() >= 24 || name.ends_with(".history");
        if is_wal && digits.is_some_and(|timeline| timeline > last.0) {
            durable::remove(&entry.path())?;
        }
    }
    Ok(())
}
