//! What `/metrics` says of the archive; nothing on a node that does not lead.

use std::fmt::{Display, Write};

use howdah_archive::schedule::Outcome;
use howdah_archive::ship::Shipped;

use super::seen::Seen;

/// Prometheus's text format. `late`: since when WAL waits, milliseconds.
pub fn page(shipped: &Shipped, late: u64) -> String {
    let mut page = String::new();
    let Some(durable) = shipped.durable else {
        if shipped.trouble.is_some() {
            failing(&mut page, true);
        }
        return page;
    };
    gauge(
        &mut page,
        "howdah_archive_durable_lsn_bytes",
        "How far WAL is in the repository without a hole, as a position in bytes",
        durable.lsn.0,
    );
    gauge(
        &mut page,
        "howdah_archive_lag_bytes",
        "WAL that the primary has flushed and the repository has not yet, bytes",
        shipped.server.bytes_past(durable.lsn),
    );
    gauge(
        &mut page,
        "howdah_archive_lag_seconds",
        "How long the oldest of that WAL has waited",
        seconds(late),
    );
    failing(&mut page, shipped.trouble.is_some());
    page
}

/// The same of what every node knows of the repository.
pub fn backups(seen: &Seen, now: u64) -> String {
    let mut page = String::new();
    if seen.at == 0 {
        // Of a repository that nobody could look into yet, no number is one.
        return page;
    }
    let ago = |ms: u64| seconds(now.saturating_sub(ms));
    gauge(&mut page, "howdah_backups", "Backups in the repository", seen.history.made.len());
    gauge(&mut page, "howdah_backup_stored_bytes", "Bytes of all packs", seen.stored);
    gauge(&mut page, "howdah_archive_gaps", "Ranges of WAL that are missing for good", seen.gaps);
    gauge(
        &mut page,
        "howdah_backup_look_age_seconds",
        "Since the repository was looked at",
        ago(seen.at),
    );
    if let Some(last) = &seen.newest {
        let took = last.stopped_unix_ms.saturating_sub(last.started_unix_ms);
        for (name, help, value) in [
            ("age_seconds", "Since the last backup was complete", ago(last.stopped_unix_ms)),
            ("duration_seconds", "What the last backup took", seconds(took)),
            ("bytes", "Of the files in the last backup", last.bytes.to_string()),
            ("new_bytes", "What the last backup added", last.stored_bytes.to_string()),
        ] {
            gauge(&mut page, &format!("howdah_backup_last_{name}"), help, value);
        }
    }
    if let Some(run) = seen.last_drill() {
        let done = u8::from(run.outcome() == Some(Outcome::Done));
        gauge(&mut page, "howdah_drill_last_success", "1 when the last drill succeeded", done);
        let end = run.end.as_ref();
        let rest = [
            ("age", "Since the last drill", end.map(|end| now.saturating_sub(end.at))),
            ("rpo", "What the last drill would have lost", end.and_then(|end| end.rpo_ms)),
            ("rto", "What the last drill took to serve again", end.and_then(|end| end.rto_ms)),
        ];
        for (name, help, ms) in rest {
            if let Some(ms) = ms {
                gauge(&mut page, &format!("howdah_drill_last_{name}_seconds"), help, seconds(ms));
            }
        }
    }
    let counts = seen.counts();
    if !counts.is_empty() {
        let help = "Runs of the schedule that the repository remembers, by their end";
        let _ = writeln!(
            page,
            "# HELP howdah_schedule_runs {help}.\n# TYPE howdah_schedule_runs gauge"
        );
    }
    for ((task, outcome), count) in counts {
        let (task, outcome) = (task.word(), outcome.word());
        let labels = format!("task=\"{task}\",outcome=\"{outcome}\"");
        let _ = writeln!(page, "howdah_schedule_runs{{{labels}}} {count}");
    }
    page
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

fn failing(page: &mut String, is_so: bool) {
    let help = "1 while WAL does not reach the repository";
    gauge(page, "howdah_archive_failing", help, u64::from(is_so));
}

fn gauge(page: &mut String, name: &str, help: &str, value: impl Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}");
}

#[cfg(test)]
mod tests {
    use howdah_base::{Lsn, Position, Timeline};

    use super::*;

    #[test]
    fn what_was_never_seen_is_no_number() {
        let seen = |at| Seen { at, ..super::super::seen::tests::seen(Vec::new()) };
        assert_eq!(backups(&seen(0), 5_000), "");
        let text = backups(&seen(1_000), 5_000);
        assert!(text.contains("\nhowdah_backups 0\n"), "{text}");
        assert!(text.contains("\nhowdah_backup_look_age_seconds 4.000\n"), "{text}");
    }

    #[test]
    fn a_lag_is_told_by_who_leads() {
        assert_eq!(page(&Shipped::default(), 0), "");
        let durable = Some(Position { timeline: Timeline(1), lsn: Lsn(1000) });
        let text = page(&Shipped { durable, server: Lsn(1500), ..Shipped::default() }, 1_250);
        assert!(text.contains("\nhowdah_archive_lag_seconds 1.250\n"), "{text}");
        assert!(text.contains("\nhowdah_archive_lag_bytes 500\n"), "{text}");
        assert!(text.ends_with("\nhowdah_archive_failing 0\n"), "{text}");
    }
}
