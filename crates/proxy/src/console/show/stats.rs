//! SHOW STATS and its relatives: what has been counted, and what that makes on the average of the
//! last minute or two (PgBouncer's `stats_period`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::console::seen::Seen;
use crate::console::table::{Column, Kind, Row, Table};
use crate::data::Counts;

/// PgBouncer's default.
pub(in crate::console) const PERIOD: Duration = Duration::from_secs(60);

const NAMES: [&str; 12] = [
    "server_assignment_count",
    "xact_count",
    "query_count",
    "bytes_received",
    "bytes_sent",
    "xact_time",
    "query_time",
    "wait_time",
    "client_parse_count",
    "server_parse_count",
    "bind_count",
    "client_login_count",
];
const TOTALS: [&str; 12] = [
    "total_server_assignment_count",
    "total_xact_count",
    "total_query_count",
    "total_received",
    "total_sent",
    "total_xact_time",
    "total_query_time",
    "total_wait_time",
    "total_client_parse_count",
    "total_server_parse_count",
    "total_bind_count",
    "total_client_login_count",
];
const AVERAGES: [&str; 12] = [
    "avg_server_assignment_count",
    "avg_xact_count",
    "avg_query_count",
    "avg_recv",
    "avg_sent",
    "avg_xact_time",
    "avg_query_time",
    "avg_wait_time",
    "avg_client_parse_count",
    "avg_server_parse_count",
    "avg_bind_count",
    "avg_client_login_count",
];

/// By database.
pub(in crate::console) type ByDatabase = BTreeMap<String, Counts>;

/// What there was before, so that there are averages.
pub(in crate::console) struct Past {
    older: (Instant, ByDatabase),
    newer: (Instant, ByDatabase),
}

impl Past {
    pub fn new(now: Instant) -> Past {
        // As `stats_setup` in PgBouncer's stats.c: until the first period is over, since the start.
        let since = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        Past { older: (since, ByDatabase::new()), newer: (now, ByDatabase::new()) }
    }

    /// Once each [`PERIOD`].
    pub fn push(&mut self, now: Instant, counts: ByDatabase) {
        self.older = std::mem::replace(&mut self.newer, (now, counts));
    }

    /// For each second, and of times for each of what they are of.
    fn average(&self, database: &str, counts: &Counts, now: Instant) -> [u64; 12] {
        let (since, older) = &self.older;
        let old = older.get(database).copied().unwrap_or_default();
        let us = now.saturating_duration_since(*since).as_micros().max(1);
        average(counts, &old, us)
    }
}

fn average(counts: &Counts, old: &Counts, us: u128) -> [u64; 12] {
    let mut all = counts.all();
    for (new, old) in all.iter_mut().zip(old.all()) {
        // A database whose pools have gone begins anew.
        *new = new.saturating_sub(old);
    }
    let [assignments, xacts, queries, ..] = all;
    let rate = |count: u64| u64::try_from(u128::from(count) * 1_000_000 / us).unwrap_or(u64::MAX);
    let mut averages = all.map(rate);
    for (at, of) in [(5, xacts), (6, queries), (7, assignments)] {
        averages[at] = all[at].checked_div(of).unwrap_or(0);
    }
    averages
}

pub(in crate::console) fn by_database(seen: &Seen) -> ByDatabase {
    let mut all = seen.gone.clone();
    for pool in &seen.pools {
        all.entry(pool.key.database.clone()).or_default().add(&pool.stats.counts);
    }
    all
}

fn columns(names: &[&[&'static str; 12]]) -> Vec<Column> {
    let numbers = names.iter().flat_map(|names| names.iter().map(|name| (*name, Kind::Numeric)));
    std::iter::once(("database", Kind::Text)).chain(numbers).collect()
}

pub(in crate::console) fn stats(seen: &Seen, past: &Past) -> Table {
    let mut table = Table::new(&columns(&[&TOTALS, &AVERAGES]));
    for (database, counts) in by_database(seen) {
        let average = past.average(&database, &counts, seen.at);
        table.add(Row::default().and(database).and_all(counts.all()).and_all(average));
    }
    table
}

pub(in crate::console) fn totals(seen: &Seen) -> Table {
    let mut table = Table::new(&columns(&[&NAMES]));
    for (database, counts) in by_database(seen) {
        table.add(Row::default().and(database).and_all(counts.all()));
    }
    table
}

pub(in crate::console) fn averages(seen: &Seen, past: &Past) -> Table {
    // PgBouncer calls the last four as if they were in SHOW STATS.
    let mut names = NAMES;
    names[8..].copy_from_slice(&AVERAGES[8..]);
    let mut table = Table::new(&columns(&[&names]));
    for (database, counts) in by_database(seen) {
        let average = past.average(&database, &counts, seen.at);
        table.add(Row::default().and(database).and_all(average));
    }
    table
}

/// Of all databases together, a row for each number.
pub(in crate::console) fn all(seen: &Seen, past: &Past) -> Table {
    let mut table = Table::new(&[("name", Kind::Text), ("value", Kind::Numeric)]);
    let sum = |all: &ByDatabase| {
        let mut sum = Counts::default();
        all.values().for_each(|counts| sum.add(counts));
        sum
    };
    let (since, older) = &past.older;
    let (now, old) = (sum(&by_database(seen)), sum(older));
    let us = seen.at.saturating_duration_since(*since).as_micros().max(1);
    let named = |prefix: &'static str| {
        NAMES.iter().map(move |name| match *name {
            "bytes_received" => format!("{prefix}client_bytes"),
            "bytes_sent" => format!("{prefix}server_bytes"),
            "client_parse_count" | "server_parse_count" | "bind_count" => {
                format!("{prefix}ps_{name}")
            }
            name => format!("{prefix}{name}"),
        })
    };
    for (name, value) in named("total_").zip(now.all()) {
        table.add(Row::default().and(name).and(value));
    }
    for (name, value) in named("avg_").zip(average(&now, &old, us)) {
        table.add(Row::default().and(name).and(value));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_for_each_second_and_of_times_for_each_of_what_they_are_of() {
        let old = Counts { xacts: 10, queries: 20, assignments: 10, ..Counts::default() };
        let new = Counts {
            xacts: 110,
            queries: 420,
            assignments: 60,
            received: 5_000,
            xact_us: 1_000,
            query_us: 800,
            wait_us: 500,
            binds: 15,
            ..old
        };
        let averages = average(&new, &old, 10_000_000);
        assert_eq!(averages, [5, 10, 40, 500, 0, 10, 2, 10, 0, 0, 1, 0]);
        assert_eq!(average(&old, &new, 10_000_000), [0; 12], "it never goes back");
    }
}
