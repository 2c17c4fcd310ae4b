//! Those that read: a row that one of them saw on a server that was not in recovery was committed,
//! and must never vanish; the accounts hold the same sum in every snapshot, a standby's too.

use std::sync::Arc;

use super::tables::TOTAL;
use super::write::{Pace, next};
use super::{Client, Shared};

/// How far back a reader looks: rows that are older were seen already.
const LOOK_BACK: i64 = 400;

/// Reads until the end of the run.
pub async fn look(client: Client, shared: Arc<Shared>) {
    let (mut line, mut pace) = (None, Pace::of(&client));
    while let Some(open) = next(&client, &shared, &mut line, &mut pace).await {
        let from = shared.next.load(std::sync::atomic::Ordering::Relaxed) - LOOK_BACK;
        let sql = format!(
            "SELECT current_setting('cluster_name'), pg_is_in_recovery(), \
             (SELECT sum(balance) FROM chaos_accounts), \
             (SELECT string_agg(id::text, ',') FROM chaos_rows WHERE id > {from})"
        );
        match open.rows(&sql).await {
            Ok(rows) => {
                rows.iter().for_each(|row| note(&shared, row));
                line = Some(open);
            }
            Err(trouble) => shared.complain(trouble.words()),
        }
    }
}

fn note(shared: &Shared, row: &[String]) {
    let [place, in_recovery, sum, ids] = row else { return };
    let (at, node) = (shared.now(), place.rsplit('/').next().unwrap_or_default());
    let mut history = shared.history();
    // A standby that was made anew may not have the accounts yet.
    if let Ok(sum) = sum.parse::<i64>()
        && sum != TOTAL
    {
        history.odd_sums.push((at, node.to_owned(), sum));
    }
    if in_recovery != "f" {
        return;
    }
    for id in ids.split(',').filter_map(|id| id.parse().ok()) {
        history.seen.entry(id).or_insert_with(|| (at, node.to_owned()));
    }
}
