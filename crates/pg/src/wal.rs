//! Where the WAL on disk ends: the end of the last complete record of a stopped server.
//!
//! Not what the server last said of itself: it may have died with more, or with less. The
//! records are walked by `pg_waldump` from a place that is known to be a record's beginning to
//! the first that is not valid (PROTOCOL section 0).

use std::path::Path;
use std::process::Command;

use howdah_base::{Lsn, Position, Timeline};

use crate::install::Install;
use crate::{PgError, control, directory};

/// The end of the last complete record. Blocking. `hint`, the last position that was seen, makes
/// the walk short: it begins a little before it instead of at the last checkpoint's redo.
pub fn end(
    install: &Install,
    data_dir: &Path,
    hint: Option<Position>,
) -> Result<Position, PgError> {
    let control = control::read(install, data_dir)?;
    let newest = control.newest_timeline();
    // A standby may hold WAL of a later timeline than its control file knows of.
    let timeline = hint.map_or(newest, |hint| hint.timeline.max(newest));
    let begins = if timeline == control.timeline {
        control.redo
    } else {
        let history = directory::read_history(data_dir, timeline)?;
        history.forks.last().map_or(control.redo, |(_, fork)| control.redo.max(*fork))
    };
    let near = hint.map_or(Lsn(0), |hint| Lsn(hint.lsn.0.saturating_sub(HINT_MARGIN)));
    let lsn = walk(install, data_dir, timeline, begins.max(near), control.segment)?;
    Ok(Position { timeline, lsn })
}

/// The end of the last valid record at or after `from`. pg_waldump always ends with an error
/// there, since it cannot know that the WAL was to end.
fn walk(
    install: &Install,
    data_dir: &Path,
    timeline: Timeline,
    from: Lsn,
    segment: u64,
) -> Result<Lsn, PgError> {
    let last = last_byte(data_dir, timeline, from, segment);
    let output = Command::new(install.program("pg_waldump"))
        .arg("--path")
        .arg(data_dir.join("pg_wal"))
        .arg(format!("--timeline={}", timeline.0))
        .arg(format!("--start={from}"))
        .arg(format!("--end={last}"))
        .env("LC_ALL", "C")
        .output()
        .map_err(PgError::io("run pg_waldump", data_dir))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let records = String::from_utf8_lossy(&output.stdout);
    match records.lines().rev().find_map(record) {
        Some((lsn, bytes)) => Ok(reckon(lsn, bytes, segment)),
        // Not one record: the timeline has just begun, and its beginning is its end.
        None if said.contains("could not find a valid record") => Ok(from),
        None => Err(PgError::Program { program: "pg_waldump", said }),
    }
}

/// The end of the last segment that is there without a gap. Told where to stop, pg_waldump does
/// not wait five seconds for a segment that a server might still be making.
fn last_byte(data_dir: &Path, timeline: Timeline, from: Lsn, segment: u64) -> Lsn {
    let per_file = (1 << 32) / segment;
    let there = |number: &u64| {
        let (high, low) = (number / per_file, number % per_file);
        data_dir.join(format!("pg_wal/{:08X}{high:08X}{low:08X}", timeline.0)).exists()
    };
    let first = from.0 / segment;
    let count = (first..).take_while(there).count();
    Lsn((first + u64::try_from(count).unwrap_or(0)) * segment)
}

/// The record's own place and length, from a line such as
/// `rmgr: Heap len (rec/tot): 54/ 1234, tx: 734, lsn: 0/0152DB28, prev 0/0152DAF0, desc: ...`.
fn record(line: &str) -> Option<(Lsn, u64)> {
    let lsn = line.split("lsn: ").nth(1)?.split(',').next()?.parse().ok()?;
    let lengths = line.split("len (rec/tot):").nth(1)?.split(',').next()?;
    let total = lengths.split('/').nth(1)?.trim().parse().ok()?;
    Some((lsn, total))
}

/// A walk that begins this much before a known position meets the beginning of a record.
const HINT_MARGIN: u64 = 1 << 20;
/// XLOG_BLCKSZ, as all distributions build it.
const PAGE: u64 = 8192;
/// `SizeOfXLogShortPHD` and `SizeOfXLogLongPHD` (`xlog_internal.h`).
const SHORT_HEADER: u64 = 24;
const LONG_HEADER: u64 = 40;

/// The end of a record of `bytes` that begins at `start`: page headers lie between, and the
/// next record begins MAXALIGNed (`XLogReadRecord` reckons its `EndRecPtr` the same way).
fn reckon(start: Lsn, bytes: u64, segment: u64) -> Lsn {
    let (mut at, mut left) = (start.0, bytes);
    loop {
        let room = PAGE - at % PAGE;
        if left <= room {
            at += left;
            break;
        }
        left -= room;
        at += room;
        at += if at.is_multiple_of(segment) { LONG_HEADER } else { SHORT_HEADER };
    }
    Lsn(at.next_multiple_of(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_line_is_read() {
        let line = "rmgr: Heap        len (rec/tot):     54/  8150, tx: 734, lsn: 0/0152DB28, \
                    prev 0/0152DAF0, desc: INSERT off 1";
        assert_eq!(record(line), Some((Lsn(0x152_DB28), 8150)));
    }

    #[test]
    fn page_headers_inside_a_record_count() {
        const SEGMENT: u64 = 16 << 20;
        assert_eq!(reckon(Lsn(PAGE + 40), 50, SEGMENT), Lsn(PAGE + 96));
        let crossing = reckon(Lsn(2 * PAGE - 8), 16, SEGMENT);
        assert_eq!(crossing, Lsn(2 * PAGE + SHORT_HEADER + 8));
    }
}
