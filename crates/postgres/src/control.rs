//! pg_control, by way of `pg_controldata` (whose output is stable where the file's layout is not).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Command;

use howdah_base::{Lsn, Position, Timeline};

use crate::PgError;
use crate::install::Install;
use crate::wal::crc::crc32c;

/// The parts that Howdah looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlData {
    pub system_identifier: u64,
    /// Such as `in production` or `shut down in recovery`.
    pub state: String,
    pub checkpoint: Lsn,
    pub redo: Lsn,
    pub timeline: Timeline,
    /// Where a standby has to have replayed to at least.
    pub min_recovery: Lsn,
    pub min_recovery_timeline: Timeline,
    pub checksums: bool,
    /// wal_segment_size, bytes.
    pub segment: u64,
    /// What a standby on this directory must not undercut, by the parameter's name.
    pub sizes: BTreeMap<String, u64>,
}

impl ControlData {
    pub fn clean_shutdown(&self) -> bool {
        self.state == "shut down" || self.state == "shut down in recovery"
    }

    /// A standby's checkpoint may still lie on the timeline before the one that it replays.
    pub fn newest_timeline(&self) -> Timeline {
        self.timeline.max(self.min_recovery_timeline)
    }

    /// Which WAL its pages need before they are consistent; `None` of a primary's.
    pub fn consistent(&self) -> Option<Position> {
        let there = self.min_recovery != Lsn(0);
        there.then_some(Position { timeline: self.min_recovery_timeline, lsn: self.min_recovery })
    }
}

/// Whether these bytes are a pg_control as it was written: the server may be at it while it is read.
/// Its CRC stands behind the last field, wherever that is in this version; zeros follow.
pub fn is_whole(bytes: &[u8]) -> bool {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    // The CRC's own highest bytes may be zero.
    (end..end + 4).filter(|end| end % 4 == 0).any(|end| {
        let Some(fields) = bytes.get(..end).and_then(|bytes| bytes.split_last_chunk::<4>()) else {
            return false;
        };
        crc32c([fields.0, &[]]) == u32::from_le_bytes(*fields.1)
    })
}

/// The first field of a whole pg_control.
pub fn system_identifier(bytes: &[u8]) -> Option<u64> {
    let first = bytes.first_chunk::<8>().filter(|_| is_whole(bytes))?;
    Some(u64::from_le_bytes(*first))
}

/// Reads it. Blocking.
pub fn read(install: &Install, data_dir: &Path) -> Result<ControlData, PgError> {
    let output = Command::new(install.program("pg_controldata"))
        .arg("-D")
        .arg(data_dir)
        .env("LC_ALL", "C")
        .output()
        .map_err(PgError::io("run pg_controldata", data_dir))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(PgError::Program { program: "pg_controldata", said });
    }
    parse(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| PgError::Unexpected("pg_controldata printed something unknown".to_owned()))
}

/// What pg_controldata prints of the last primary's parameters, and their names.
const SIZES: [(&str, &str); 5] = [
    ("max_connections setting", "max_connections"),
    ("max_worker_processes setting", "max_worker_processes"),
    ("max_wal_senders setting", "max_wal_senders"),
    ("max_prepared_xacts setting", "max_prepared_transactions"),
    ("max_locks_per_xact setting", "max_locks_per_transaction"),
];

fn parse(text: &str) -> Option<ControlData> {
    let fields: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let number = |name: &str| fields.get(name)?.parse::<u32>().ok();
    Some(ControlData {
        system_identifier: fields.get("Database system identifier")?.parse().ok()?,
        state: (*fields.get("Database cluster state")?).to_owned(),
        checkpoint: fields.get("Latest checkpoint location")?.parse().ok()?,
        redo: fields.get("Latest checkpoint's REDO location")?.parse().ok()?,
        timeline: Timeline(number("Latest checkpoint's TimeLineID")?),
        min_recovery: fields.get("Minimum recovery ending location")?.parse().ok()?,
        min_recovery_timeline: Timeline(number("Min recovery ending loc's timeline")?),
        segment: u64::from(number("Bytes per WAL segment")?),
        checksums: number("Data page checksum version")? != 0,
        sizes: SIZES
            .iter()
            .filter_map(|(line, name)| Some(((*name).to_owned(), fields.get(line)?.parse().ok()?)))
            .collect(),
    })
}
