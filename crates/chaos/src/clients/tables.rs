//! The tables of the clients: made at the beginning, read whole at the end.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio_postgres::Config;

use super::line::Line;
use crate::history::Final;

/// How many accounts there are, and what each holds at the beginning.
pub const ACCOUNTS: i64 = 12;
pub const OPENING: i64 = 1_000;
/// What all accounts hold together, at any time.
pub const TOTAL: i64 = ACCOUNTS * OPENING;
/// The tables are read whole within this.
const WHOLE_BOUND: Duration = Duration::from_secs(60);

/// Makes the tables and opens the accounts.
pub async fn make(hosts: &[Config]) -> Result<()> {
    let sql = format!(
        "CREATE TABLE chaos_rows (id bigint PRIMARY KEY, client text NOT NULL); \
         CREATE TABLE chaos_transfers (id bigint PRIMARY KEY, \
             payer bigint NOT NULL, payee bigint NOT NULL, amount bigint NOT NULL); \
         CREATE TABLE chaos_lists (key text PRIMARY KEY, items bigint[] NOT NULL); \
         CREATE TABLE chaos_accounts (id bigint PRIMARY KEY, balance bigint NOT NULL) \
             WITH (fillfactor = 20); \
         INSERT INTO chaos_accounts SELECT n, {OPENING} FROM generate_series(1, {ACCOUNTS}) n"
    );
    run(hosts, &sql).await.map(drop)
}

/// Runs one statement through the first host that takes the connection.
pub async fn run(hosts: &[Config], sql: &str) -> Result<Vec<Vec<String>>> {
    let line = Line::open(hosts).await.map_err(|words| anyhow!(words))?;
    let rows = line.rows_within(sql, WHOLE_BOUND).await;
    rows.map_err(|trouble| anyhow!("`{sql}`: {}", trouble.words()))
}

/// All that the clients' tables hold.
pub async fn read(hosts: &[Config]) -> Result<Final> {
    let mut held = Final { opening: OPENING, ..Final::default() };
    for row in run(hosts, "SELECT id FROM chaos_rows").await? {
        held.rows.insert(number(&row, 0)?);
    }
    for row in run(hosts, "SELECT id, payer, payee, amount FROM chaos_transfers").await? {
        let (id, payer, payee) = (number(&row, 0)?, number(&row, 1)?, number(&row, 2)?);
        held.transfers.insert(id, (payer, payee, number(&row, 3)?));
    }
    for row in run(hosts, "SELECT id, balance FROM chaos_accounts").await? {
        held.balances.insert(number(&row, 0)?, number(&row, 1)?);
    }
    let lists = "SELECT key, array_to_string(items, ',') FROM chaos_lists";
    for row in run(hosts, lists).await? {
        let key = row.first().context("a key")?.clone();
        let items = row.get(1).context("items")?.split(',').filter(|item| !item.is_empty());
        let items = items.map(|item| item.parse().context("an item")).collect::<Result<_>>()?;
        held.lists.insert(key, items);
    }
    Ok(held)
}

fn number(row: &[String], column: usize) -> Result<i64> {
    row.get(column).context("a column")?.parse().context("a number")
}

/// One word for all that the tables hold: the same on servers that hold the same.
pub const FINGERPRINT: &str = "SELECT md5(concat( \
    (SELECT md5(string_agg(id::text, ',' ORDER BY id)) FROM chaos_rows), \
    (SELECT md5(string_agg(concat_ws(':', id, payer, payee, amount), ',' ORDER BY id)) \
        FROM chaos_transfers), \
    (SELECT md5(string_agg(concat_ws(':', id, balance), ',' ORDER BY id)) FROM chaos_accounts), \
    (SELECT md5(string_agg(concat_ws(':', key, items::text), ',' ORDER BY key)) \
        FROM chaos_lists)))";
