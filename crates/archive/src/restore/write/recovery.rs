//! What the server finds beside its files: where recovery begins, how it gets WAL, where it stops.
//!
//! Source: PostgreSQL documentation, "Recovering Using a Continuous Archive Backup", "Recovery Target".

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use howdah_base::{Timeline, calendar};
use howdah_postgres::write_durably;
use howdah_repo::manifest::About;

use super::RestoreError;
use super::place::Places;
use crate::restore::plan::Target;

/// How a restored server recovers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// As the parameter is written, with `%f` and `%p`.
    pub restore_command: String,
    pub target: Target,
    pub timeline: Along,
    pub action: Action,
}

/// `recovery_target_timeline`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Along {
    Latest,
    Of(Timeline),
}

/// `recovery_target_action`: what the server does at the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Promote,
    Pause,
    Shutdown,
}

/// Files of the backed-up server's own recovery; a copy has another.
pub const SIGNALS: [&str; 2] = ["recovery.signal", "standby.signal"];

/// Parameters that belong to a recovery that is over.
const LEFT_OVER: [&str; 18] = [
    "archive_cleanup_command",
    "archive_mode",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
    "standby_mode",
    "trigger_file",
];

/// Writes all of it. Blocking.
pub fn write(places: &Places, about: &About, recovery: &Recovery) -> Result<(), RestoreError> {
    let file = |name: &str| places.data_dir.join(name);
    let auto = file("postgresql.auto.conf");
    let before = match fs::read_to_string(&auto) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(RestoreError::io("read", &auto)(error)),
    };
    write_durably(&auto, &settings(&before, recovery))?;
    if !about.tablespace_map.is_empty() {
        write_durably(&file("tablespace_map"), &tablespace_map(&places.tablespaces))?;
    }
    write_durably(&file("recovery.signal"), "")?;
    write_durably(&file("backup_label"), &about.backup_label)?;
    Ok(())
}

/// One line a tablespace; a backslash in a path stands for itself only when it is doubled.
fn tablespace_map(tablespaces: &BTreeMap<u32, PathBuf>) -> String {
    let mut text = String::new();
    for (oid, place) in tablespaces {
        let place = place.to_string_lossy().replace('\\', "\\\\");
        let _ = writeln!(text, "{oid} {place}");
    }
    text
}

/// Of somebody's `ALTER SYSTEM`: what joins a server to others. A clone goes on without them.
const TIES: [&str; 3] = ["archive_command", "archive_library", "synchronous_standby_names"];

/// Takes the parameters of a recovery that is over out of a data directory; with `ties` also those that
/// join it to what its origin has. Blocking.
pub fn forget(data_dir: &Path, ties: bool) -> Result<(), RestoreError> {
    let auto = data_dir.join("postgresql.auto.conf");
    let before = fs::read_to_string(&auto).map_err(RestoreError::io("read", &auto))?;
    let mut text = without(&before, &LEFT_OVER);
    if ties {
        text = without(&text, &TIES);
    }
    Ok(write_durably(&auto, &text)?)
}

/// `postgresql.auto.conf` without these parameters.
fn without(before: &str, parameters: &[&str]) -> String {
    let is_one = |line: &&str| {
        let name = line.trim_start().split(|c: char| c == '=' || c.is_whitespace()).next();
        name.is_some_and(|name| parameters.iter().any(|one| name.eq_ignore_ascii_case(one)))
    };
    let mut text = String::new();
    for line in before.lines().filter(|line| !is_one(line)) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// `postgresql.auto.conf` without what another recovery left, and with this one.
fn settings(before: &str, recovery: &Recovery) -> String {
    let mut text = without(before, &LEFT_OVER);
    let mut set = |name: &str, value: &str| {
        let value = value.replace('\\', "\\\\").replace('\'', "''");
        let _ = writeln!(text, "{name} = '{value}'");
    };
    // Whoever archives what a copy writes puts it beside its original's.
    set("archive_mode", "off");
    set("restore_command", &recovery.restore_command);
    // Of 17 on a recovering server may fetch slots from there, and its promotion waits for that.
    set("primary_conninfo", "");
    match &recovery.target {
        Target::Latest => {}
        Target::Immediate => set("recovery_target", "immediate"),
        Target::Time(ms) => set("recovery_target_time", &moment(*ms)),
        Target::Lsn(lsn) => set("recovery_target_lsn", &lsn.to_string()),
        Target::Xid(xid) => set("recovery_target_xid", &xid.to_string()),
        Target::Name(name) => set("recovery_target_name", name),
    }
    match recovery.timeline {
        Along::Latest => set("recovery_target_timeline", "latest"),
        Along::Of(timeline) => set("recovery_target_timeline", &timeline.0.to_string()),
    }
    let action = match recovery.action {
        Action::Promote => "promote",
        Action::Pause => "pause",
        Action::Shutdown => "shutdown",
    };
    set("recovery_target_action", action);
    text
}

const DAY_MS: u64 = 86_400_000;

/// As `recovery_target_time` takes it, UTC.
fn moment(ms: u64) -> String {
    let (year, month, day) = calendar::date(ms / DAY_MS);
    let ms = ms % DAY_MS;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03}+00", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_as_a_calendar_has_them() {
        assert_eq!(moment(0), "1970-01-01 00:00:00.000+00");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00.000+00");
        assert_eq!(moment(1_795_348_799_999), "2026-11-22 11:59:59.999+00");
        assert_eq!(moment(4_107_542_400_000), "2100-03-01 00:00:00.000+00");
    }

    #[test]
    fn a_clone_has_no_ties() {
        let before =
            "work_mem = '8MB'\narchive_command = 'cp %p /theirs'\narchive_commands = 'x'\n";
        assert_eq!(without(before, &TIES), "work_mem = '8MB'\narchive_commands = 'x'\n");
    }

    #[test]
    fn what_another_recovery_left_is_gone() {
        let recovery = Recovery {
            restore_command: "get 'it' %f %p".to_owned(),
            target: Target::Lsn("0/3000060".parse().expect("an LSN")),
            timeline: Along::Of(Timeline(3)),
            action: Action::Promote,
        };
        let before = "# kept\nwork_mem = '8MB'\nRecovery_target_time='x'\n primary_conninfo 'y'\n";
        let golden = "# kept\nwork_mem = '8MB'\narchive_mode = 'off'\nrestore_command = 'get ''it'' %f %p'\n\
            primary_conninfo = ''\n\
            recovery_target_lsn = '0/3000060'\nrecovery_target_timeline = '3'\n\
            recovery_target_action = 'promote'\n";
        assert_eq!(settings(before, &recovery), golden);
    }
}
