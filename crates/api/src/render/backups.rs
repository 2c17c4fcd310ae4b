//! What the screen says of backups: the last one, what comes next, and how far WAL is.

use howdah_base::backups::{Archived, BackupRun, Backups, LastBackup};
use howdah_base::status::ClusterStatus;

use super::words::{moment, size, span};

pub fn backups(status: &ClusterStatus) -> String {
    let Some(backups) = &status.backups else { return String::new() };
    let last = backups.last.as_ref().map_or("none yet".to_owned(), last);
    let mut lines = vec![format!("BACKUPS  last: {last}")];
    lines.extend(backups.running.as_ref().map(running));
    lines.extend(next(backups));
    lines.extend(backups.drill.as_ref().map(drill));
    lines.push(wal(backups));
    lines.join("\n         ") + "\n"
}

fn last(last: &LastBackup) -> String {
    let took = span(last.stopped_unix_ms.saturating_sub(last.started_unix_ms));
    let (at, bytes, new) = (moment(last.stopped_unix_ms), last.bytes, last.stored_bytes);
    let (bytes, new) = (size(bytes), size(new));
    format!("{} at {at} UTC, took {took}, {bytes} ({new} new)", last.label)
}

fn running(run: &BackupRun) -> String {
    format!("now: {} on {}, since {} UTC", run.task, run.node, moment(run.begun_unix_ms))
}

fn next(backups: &Backups) -> Option<String> {
    let of = |next: &howdah_base::backups::NextRun| {
        format!("{} at {} UTC", next.task, moment(next.at_unix_ms))
    };
    let next: Vec<String> = backups.next.iter().map(of).collect();
    (!next.is_empty()).then(|| format!("next: {}", next.join(", ")))
}

fn drill(run: &BackupRun) -> String {
    let outcome = run.outcome.as_deref().unwrap_or("under way");
    let at = moment(run.ended_unix_ms.unwrap_or(run.begun_unix_ms));
    let measured = run
        .rpo_ms
        .zip(run.rto_ms)
        .map(|(rpo, rto)| format!(", {} would be lost, back after {}", span(rpo), span(rto)));
    format!("last drill: {outcome} at {at} UTC{}", measured.unwrap_or_default())
}

fn wal(backups: &Backups) -> String {
    let gaps = match backups.gaps {
        0 => String::new(),
        1 => "; 1 gap, which no restore leads over".to_owned(),
        more => format!("; {more} gaps, which no restore leads over"),
    };
    let said = match backups.wal {
        None | Some(Archived { behind_bytes: None, failing: false, .. }) => {
            "no primary says how far it is".to_owned()
        }
        Some(Archived { failing: true, .. }) => "it does not reach the repository".to_owned(),
        Some(Archived { behind_bytes: Some(0), .. }) => "all of it is in the repository".to_owned(),
        Some(Archived { behind_bytes: Some(bytes), since_unix_ms, .. }) => {
            let since = since_unix_ms.map(|since| format!(", since {} UTC", moment(since)));
            format!("{} on the way{}", size(bytes), since.unwrap_or_default())
        }
    };
    format!("WAL: {said}{gaps}")
}
