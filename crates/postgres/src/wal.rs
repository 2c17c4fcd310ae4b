//! Where the WAL on disk ends: the end of the last complete record of a stopped server
//! (PROTOCOL section 0).
//!
//! Not what the server last said of itself: it may have died with more, or with less. The
//! records are walked from the last checkpoint, or from a position that is known to be flushed,
//! to the first that is not valid, by the same checks that PostgreSQL's recovery makes. It is
//! done here and not by `pg_waldump`, which prints every record, waits five seconds for a
//! segment that is not there, and does not say where a record ends.

pub(crate) mod crc;
mod pages;
mod record;
pub mod segment;
pub mod tail;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use howdah_base::{History, Lsn, Position, WalFile};

use crate::control::{self, ControlData};
use crate::install::Install;
use crate::wal::pages::{PAGE, Pages};
use crate::wal::record::Reader;
use crate::{PgError, directory, durable};

/// What a stopped server has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// The end of its last complete record; durable.
    pub end: Position,
    /// Where crash recovery would begin.
    pub redo: Lsn,
    /// Which WAL its pages need before they are consistent, when it was a standby, a copy or was
    /// rewound (pg_control, minimum recovery point).
    pub consistent: Option<Position>,
}

/// Where the WAL of a stopped server ends, as [`end`] finds it, and makes it durable up to there:
/// the server may have died with records that were written and not flushed, and nobody may be
/// given what a failure of this machine would take back. Blocking.
///
/// # Errors
/// As [`end`]; the disk does not take it.
pub fn left(install: &Install, data_dir: &Path, hint: Option<Position>) -> Result<Left, PgError> {
    let control = control::read(install, data_dir)?;
    let (end, redo) = end_of(data_dir, &control, hint)?;
    flush(data_dir, end, control.segment)?;
    Ok(Left { end, redo, consistent: control.consistent() })
}

/// A segment is flushed when it is full (xlog.c, XLogWrite), so only the last one can be open:
/// and the one before it, where the server died in between.
fn flush(data_dir: &Path, end: Position, segment: u64) -> Result<(), PgError> {
    let from = Lsn(end.lsn.0.saturating_sub(segment));
    for file in WalFile::between(end.timeline, from, end.lsn, segment) {
        durable::sync(&data_dir.join("pg_wal").join(file.as_str()))?;
    }
    Ok(())
}

/// The end of the last complete record. Blocking. `hint`, a position that was *flushed*, makes
/// the walk short: it begins a little before it instead of at the last checkpoint's redo.
///
/// # Errors
/// A directory without a control file or without the WAL of its last checkpoint.
pub fn end(
    install: &Install,
    data_dir: &Path,
    hint: Option<Position>,
) -> Result<Position, PgError> {
    end_of(data_dir, &control::read(install, data_dir)?, hint).map(|(end, _)| end)
}

/// The end, and where recovery would begin.
fn end_of(
    data_dir: &Path,
    control: &ControlData,
    hint: Option<Position>,
) -> Result<(Position, Lsn), PgError> {
    let from = recovery_begins(data_dir, control)?;
    // Newest first: a standby may hold WAL of a later timeline than its control file knows of.
    for history in directory::received_histories(data_dir, control)? {
        let timeline = history.timeline;
        let begun_at = history.forks.last().map_or(Lsn(0), |(_, fork)| *fork);
        let lsn = end_on(data_dir, (control, from), &history, hint)?;
        // Up to its fork a timeline's segments only repeat the one before it, and what was
        // received of them may end sooner.
        if lsn > begun_at || timeline == control.newest_timeline() {
            return Ok((Position { timeline, lsn }, from));
        }
    }
    Err(PgError::Unexpected(format!("no WAL is left: `{}`", data_dir.display())))
}

/// Where PostgreSQL begins to recover. A directory that was rewound or copied says it in
/// `backup_label`: its control file came last, and may tell of a checkpoint whose WAL has not
/// come along.
fn recovery_begins(data_dir: &Path, control: &ControlData) -> Result<Lsn, PgError> {
    let path = data_dir.join("backup_label");
    match fs::read_to_string(&path) {
        Ok(text) => labelled(&text).ok_or_else(|| {
            PgError::Unexpected(format!("it names no start of the WAL: `{}`", path.display()))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(control.redo),
        Err(error) => Err(PgError::io("read", &path)(error)),
    }
}

fn labelled(text: &str) -> Option<Lsn> {
    let rest = text.lines().find_map(|line| line.strip_prefix("START WAL LOCATION: "))?;
    rest.split(' ').next()?.parse().ok()
}

fn end_on(
    data_dir: &Path,
    (control, from): (&ControlData, Lsn),
    history: &History,
    hint: Option<Position>,
) -> Result<Lsn, PgError> {
    let pages = Pages::new(data_dir, control.segment, history);
    let mut reader = Reader::new(pages);
    let near = hint.filter(|hint| hint.timeline == history.timeline && hint.lsn > from);
    if let Some(hint) = near
        && let Some(first) = first_near(&mut reader, from, hint.lsn)?
        && let Some(end) = walk(&mut reader, first)?.filter(|end| *end >= hint.lsn)
    {
        return Ok(end);
    }
    walk(&mut reader, from)?.ok_or_else(|| {
        PgError::Unexpected(format!(
            "the WAL of the last checkpoint is missing or damaged, at {from}: `{}`",
            data_dir.display()
        ))
    })
}

/// The end of the valid records from the one at `from` on; `None` when not even that is valid.
fn walk(reader: &mut Reader<'_>, from: Lsn) -> Result<Option<Lsn>, PgError> {
    reader.rewind();
    let mut next = from;
    while let Some(end) = reader.record(next)? {
        next = end;
    }
    Ok((next > from).then_some(next))
}

/// Where a record begins a little before `hint`. `None` when the record before it reaches beyond
/// `hint`: nothing would say that it is whole.
fn first_near(reader: &mut Reader<'_>, redo: Lsn, hint: Lsn) -> Result<Option<Lsn>, PgError> {
    let from = hint.0.saturating_sub(HINT_MARGIN) / PAGE * PAGE;
    if from <= redo.0 {
        return Ok(None);
    }
    let first = reader.first_after(Lsn(from))?;
    Ok(first.filter(|first| *first <= hint))
}

/// So much before the hint the walk begins; a record that began earlier and ends after the hint
/// costs the whole walk.
const HINT_MARGIN: u64 = 1 << 20;
