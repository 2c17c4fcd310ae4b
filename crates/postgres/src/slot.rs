//! A slot of another server, asked and moved by the standby that it is for: over the way by which that
//! one would stream.

use howdah_base::Lsn;

use crate::install::Install;
use crate::{PgError, program};

/// From where on the server that `source` leads to keeps WAL for `slot`; `None` when it keeps none.
///
/// `to`: what is before may go, for the standby has it from elsewhere. A slot never goes back.
pub async fn keeps_from(
    install: &Install,
    source: &str,
    slot: &str,
    to: Option<Lsn>,
) -> Result<Option<Lsn>, PgError> {
    let name = slot.replace('\'', "''");
    // By name and not by the function's own word: it may not move at all.
    let moved = to.map(|to| {
        format!(
            "select pg_replication_slot_advance(slot_name, least('{to}', pg_current_wal_flush_lsn())) \
             from pg_replication_slots where slot_name = '{name}' and not active \
             and restart_lsn < '{to}';"
        )
    });
    let sql = format!("select restart_lsn from pg_replication_slots where slot_name = '{name}'");
    let source = format!("{source} dbname='postgres'");
    let mut arguments = vec!["-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", &source];
    arguments.extend(moved.iter().flat_map(|moved| ["-c", moved.as_str()]));
    arguments.extend(["-c", sql.as_str()]);
    let said = program::run(install, "psql", &arguments).await?;
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    if last.starts_with('(') {
        return Ok(None);
    }
    Ok(last.parse().ok())
}
