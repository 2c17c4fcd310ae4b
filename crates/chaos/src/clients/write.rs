//! Those that write: unique rows, transfers between accounts, appended lists. None repeats what
//! it has tried once, so that what is there twice is not its doing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::line::{Line, Trouble};
use super::tables::ACCOUNTS;
use super::{Client, Shared};
use crate::history::{Made, Micros, Op, Outcome, What};
use crate::rng::Rng;

/// Who made it, and on which timeline: said by the server within the transaction.
const MADE: &str = "RETURNING current_setting('cluster_name'), \
                    pg_walfile_name(pg_current_wal_insert_lsn())";
/// Pause after every host refused.
const ROUND_PAUSE: Duration = Duration::from_millis(50);
/// A list is not made longer than this many numbers reach: each append writes all of it.
const LIST_SPAN: i64 = 1_000;
/// The largest transfer.
const AMOUNT_MAX: u64 = 9;

/// How a write ended, and when its commit was sent.
struct Told {
    sent: Micros,
    outcome: Outcome,
    made: Option<Made>,
    trouble: Option<String>,
}

/// Rows with numbers of their own, each in a statement of its own, which the server works on for
/// a while before it writes the row.
pub async fn insert(client: Client, works: Option<Duration>, shared: Arc<Shared>) {
    let (mut line, mut pace) = (None, Pace::of(&client));
    while let Some(open) = next(&client, &shared, &mut line, &mut pace).await {
        let id = shared.number();
        let row = match works {
            None => format!("VALUES ({id}, '{}')", client.name),
            Some(works) => {
                format!("SELECT {id}, '{}' FROM pg_sleep({})", client.name, works.as_secs())
            }
        };
        let sql = format!("INSERT INTO chaos_rows {row} {MADE}");
        let told = one(&open, &shared, &sql).await;
        line = note(&client, &shared, What::Insert { id }, told, open);
    }
}

/// Transfers, each a transaction whose COMMIT is sent apart.
pub async fn pay(client: Client, shared: Arc<Shared>) {
    let (mut line, mut pace) = (None, Pace::of(&client));
    let mut chance = Rng::new(client.name.bytes().map(u64::from).sum());
    while let Some(open) = next(&client, &shared, &mut line, &mut pace).await {
        let id = shared.number();
        let account = |n: u64| i64::try_from(n).unwrap_or(1);
        let from = account(chance.between(1, ACCOUNTS.unsigned_abs()));
        let to = from % ACCOUNTS + 1;
        let amount = account(chance.between(1, AMOUNT_MAX));
        let what = What::Transfer { id, from, to, amount };
        let told = transfer(&open, &shared, (id, from, to, amount)).await;
        line = note(&client, &shared, what, told, open);
    }
}

/// Items appended to lists whose keys begin with `list`.
pub async fn append(client: Client, list: String, shared: Arc<Shared>) {
    let (mut line, mut pace) = (None, Pace::of(&client));
    while let Some(open) = next(&client, &shared, &mut line, &mut pace).await {
        let item = shared.number();
        let key = format!("{list}-{}", item / LIST_SPAN);
        let sql = format!(
            "INSERT INTO chaos_lists AS l VALUES ('{key}', ARRAY[{item}]::bigint[]) \
             ON CONFLICT (key) DO UPDATE SET items = l.items || excluded.items {MADE}"
        );
        let told = one(&open, &shared, &sql).await;
        line = note(&client, &shared, What::Append { key, item }, told, open);
    }
}

/// When the next statement is due.
#[derive(Debug)]
pub struct Pace {
    due: Instant,
    every: Duration,
}

impl Pace {
    pub fn of(client: &Client) -> Pace {
        Pace { due: Instant::now(), every: client.every }
    }
}

/// The connection to use now: the one that is open, or a new one. `None` at the end of the run.
pub async fn next(
    client: &Client,
    shared: &Shared,
    line: &mut Option<Line>,
    pace: &mut Pace,
) -> Option<Line> {
    loop {
        sleep_until(pace.due).await;
        if shared.is_stopping() {
            return None;
        }
        if let Some(open) = line.take() {
            pace.due = Instant::now() + pace.every;
            return Some(open);
        }
        match Line::open(&client.hosts).await {
            Ok(open) => *line = Some(open),
            Err(words) => {
                shared.complain(&words);
                pace.due = Instant::now() + ROUND_PAUSE.max(pace.every);
            }
        }
    }
}

/// Notes how it ended; hands the connection back while it is of use.
fn note(client: &Client, shared: &Shared, what: What, told: Told, line: Line) -> Option<Line> {
    let Told { sent, outcome, made, trouble } = told;
    let done = shared.now();
    shared.note(Op { client: client.name.clone(), what, sent, done, outcome, made });
    let Some(words) = trouble else { return Some(line) };
    shared.complain(&words);
    None
}

async fn one(line: &Line, shared: &Shared, sql: &str) -> Told {
    let sent = shared.now();
    match line.rows(sql).await {
        Ok(rows) => acknowledged(sent, made(&rows)),
        Err(trouble) => troubled(sent, None, trouble),
    }
}

async fn transfer(
    line: &Line,
    shared: &Shared,
    (id, from, to, amount): (i64, i64, i64, i64),
) -> Told {
    let change = |account: i64, by: i64| {
        format!("UPDATE chaos_accounts SET balance = balance + {by} WHERE id = {account};")
    };
    // In one order of accounts, so that no two wait for each other.
    let mut changes = [(from, -amount), (to, amount)];
    changes.sort_unstable();
    let changes: String = changes.iter().map(|(account, by)| change(*account, *by)).collect();
    let leaves = format!("INSERT INTO chaos_transfers VALUES ({id}, {from}, {to}, {amount})");
    let begun = shared.now();
    let rows = match line.rows(&format!("BEGIN; {changes} {leaves} {MADE}")).await {
        Ok(rows) => rows,
        // Without a COMMIT nothing is committed.
        Err(trouble) => {
            let words = trouble.words().to_owned();
            return Told {
                sent: begun,
                outcome: Outcome::Failed,
                made: None,
                trouble: Some(words),
            };
        }
    };
    let sent = shared.now();
    match line.rows("COMMIT").await {
        Ok(_) => acknowledged(sent, made(&rows)),
        Err(trouble) => troubled(sent, made(&rows), trouble),
    }
}

fn acknowledged(sent: Micros, made: Option<Made>) -> Told {
    Told { sent, outcome: Outcome::Acknowledged, made, trouble: None }
}

fn troubled(sent: Micros, made: Option<Made>, trouble: Trouble) -> Told {
    let outcome = match trouble {
        Trouble::Refused(_) => Outcome::Failed,
        Trouble::Unclear(_) => Outcome::Indeterminate,
    };
    Told { sent, outcome, made, trouble: Some(trouble.words().to_owned()) }
}

/// `cluster/node`, and the name of a WAL file, which begins with the timeline in hexadecimal.
fn made(rows: &[Vec<String>]) -> Option<Made> {
    let row = rows.last()?;
    let (_, node) = row.first()?.split_once('/')?;
    let timeline = u32::from_str_radix(row.get(1)?.get(..8)?, 16).ok()?;
    Some(Made { node: node.to_owned(), timeline })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_write_was_made_is_read_from_its_answer() {
        let rows = [vec!["test/n2".to_owned(), "0000000A0000000000000003".to_owned()]];
        assert_eq!(made(&rows), Some(Made { node: "n2".to_owned(), timeline: 10 }));
        assert_eq!(made(&[]), None);
    }
}
