//! Users' logical replication slots on a standby, so that a failover loses none.
//!
//! PostgreSQL 17 keeps them itself (`failover` slots and `sync_replication_slots`). Before, a
//! slot is its file: `pg_replslot/<name>/state`, copied from the primary while the standby is
//! down, and moved forward afterwards by pg_replication_slot_advance (documentation,
//! "Replication Slots"; source, slot.c).

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use howdah_base::Lsn;
use howdah_base::record::LogicalSlot;

use crate::install::Install;
use crate::{PgError, control, durable, program};

/// The first major version that keeps logical slots on standbys by itself.
pub const KEPT_SINCE: u32 = 17;
/// The longest name of a slot, and what it consists of (slot.c).
const NAME_LEN_MAX: usize = 63;

/// Copies the state of those slots that are not there yet, and whose WAL is, from the server that `source` leads
/// to. Legal only while no process of this directory's server is left.
pub async fn copy(
    install: &Install,
    source: &str,
    data_dir: &Path,
    wanted: &BTreeMap<String, LogicalSlot>,
) -> Result<Vec<String>, PgError> {
    let mut copied = Vec::new();
    let slots = data_dir.join("pg_replslot");
    let segment = control::read(install, data_dir)?.segment;
    let fit = |(name, slot): &(&String, &LogicalSlot)| {
        is_name(name) && !slots.join(name).exists() && has_wal(data_dir, segment, slot.restart)
    };
    for (name, _) in wanted.iter().filter(fit) {
        let Some(state) = fetch(install, source, name).await? else { continue };
        write(&slots, name, &state)?;
        copied.push(name.clone());
    }
    Ok(copied)
}

/// Whether the WAL from `lsn` on is in this directory: a slot without it is of no use. Blocking.
pub fn has_wal(data_dir: &Path, segment: u64, lsn: Option<Lsn>) -> bool {
    let (Some(lsn), Ok(entries)) = (lsn, fs::read_dir(data_dir.join("pg_wal"))) else {
        return false;
    };
    let (high, low) = (lsn.0 >> 32, (lsn.0 & 0xffff_ffff) / segment.max(1));
    let first = format!("{high:08X}{low:08X}");
    entries.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.len() == 24 && name.get(8..).is_some_and(|rest| rest <= first.as_str())
    })
}

/// Nothing else may become part of a path or of a statement.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.len() <= NAME_LEN_MAX && name.chars().all(plain)
}

/// The file as the primary has it now; `None` when the slot has gone meanwhile.
async fn fetch(install: &Install, source: &str, name: &str) -> Result<Option<Vec<u8>>, PgError> {
    let sql = format!(
        "select encode(pg_read_binary_file('pg_replslot/{name}/state', 0, 1048576, true), 'hex')"
    );
    let source = format!("{source} dbname='postgres'");
    let arguments = ["-X", "-A", "-t", "-q", "-w", "-d", &source, "-c", &sql];
    let said = program::run(install, "psql", &arguments).await?;
    let hex = said.trim();
    if hex.is_empty() {
        return Ok(None);
    }
    let digits: Option<Vec<u8>> = (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok())
        .collect();
    let unexpected = || PgError::Unexpected(format!("the state of slot `{name}` does not read"));
    digits.map(Some).ok_or_else(unexpected)
}

fn write(slots: &Path, name: &str, state: &[u8]) -> Result<(), PgError> {
    // Beside its place first: half a slot would keep the server from starting.
    let making = slots.join(format!("{name}.tmp"));
    durable::remove_tree(&making)?;
    let made = DirBuilder::new().mode(0o700).create(&making);
    made.map_err(PgError::io("make", &making))?;
    durable::write_bytes(&making.join("state"), state)?;
    match durable::rename(&making, &slots.join(name)) {
        Err(PgError::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_slot_may_be_called_becomes_a_path() {
        assert!(is_name("orders_1"));
        for bad in ["", "../x", "a b", "Orders", "a'b", &"x".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
