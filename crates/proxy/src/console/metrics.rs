//! What `/metrics` tells of pools and endpoints, in Prometheus' text format: pgbouncer_exporter's
//! names, so that its dashboards and alerts go on, and ours. A scrape asks each data thread for its
//! pools as an operator does, and no more.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};

use super::seen::Seen;
use super::show::databases::{self, Around};
use super::show::{pools, small, stats};
use super::table::Table;
use super::{Console, Shown};
use crate::data::Look;
use crate::pool::Histogram;
use crate::{Counters, Endpoint};

/// Whoever answers `/metrics` asks this; it has something to tell once the endpoints serve.
#[derive(Clone, Default)]
pub struct Metrics(Arc<OnceLock<(Weak<Counters>, Weak<Console>)>>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Metrics").field(&self.0.get().is_some()).finish()
    }
}

impl Metrics {
    pub(crate) fn begin(&self, counters: &Arc<Counters>, console: Option<&Arc<Console>>) {
        let console = console.map(Arc::downgrade).unwrap_or_default();
        // A second proxy in one process would be a test's.
        let _ = self.0.set((Arc::downgrade(counters), console));
    }

    /// The page, or what there is of it: without pools that of the endpoints.
    pub async fn page(&self) -> String {
        let mut page = Page::default();
        let Some((counters, console)) = self.0.get() else { return page.text };
        if let Some(counters) = counters.upgrade() {
            endpoints(&mut page, &counters);
        }
        if let Some(console) = console.upgrade() {
            match console.look(&[Look::Clients]).await {
                Ok(seen) => {
                    page.one("pgbouncer_up", "The pooler has answered.", "gauge", 1);
                    console.around(|around| of_pools(&mut page, &seen, around));
                    of_settings(&mut page, &console.config.settings.borrow());
                }
                Err(_) => page.one("pgbouncer_up", "The pooler has answered.", "gauge", 0),
            }
        }
        page.text
    }
}

fn endpoints(page: &mut Page, counters: &Counters) {
    let all = [Endpoint::Rw, Endpoint::Ro, Endpoint::Any, Endpoint::Peer];
    page.head("howdah_endpoint_clients", "Connections now.", "gauge");
    for end in all {
        let label = [("endpoint", end.name())];
        page.line("howdah_endpoint_clients", &label, counters.clients[end as usize].held());
    }
    page.head("howdah_endpoint_admitted_total", "Connections let in.", "counter");
    for end in all {
        let count = counters.admitted[end as usize].load(Ordering::Relaxed);
        page.line("howdah_endpoint_admitted_total", &[("endpoint", end.name())], count);
    }
    let refused = counters.refused.load(Ordering::Relaxed);
    let help = "Clients sent away with an error.";
    page.one("howdah_endpoint_refused_total", help, "counter", refused);
    let cut = counters.cut.load(Ordering::Relaxed);
    let help = "Connections that ended because their server stopped being the primary.";
    page.one("howdah_endpoint_cut_total", help, "counter", cut);
}

fn of_pools(page: &mut Page, seen: &Seen, around: &Around<'_>) {
    let version =
        format!("PgBouncer {} console of Howdah {}", small::LIKE, env!("CARGO_PKG_VERSION"));
    page.head("pgbouncer_version_info", "Which pooler this is.", "gauge");
    page.line("pgbouncer_version_info", &[("version", &version)], 1);
    let labels = ["name", "host", "port", "database", "force_user", "pool_mode"];
    page.table("pgbouncer_databases", &labels, &DATABASES, &databases::databases(seen, around));
    page.table("pgbouncer_stats", &["database"], &STATS, &stats::totals(seen));
    page.table("pgbouncer_pools", &["database", "user"], &POOLS, &pools::show(seen));
    for (name, value) in small::lists(seen, around).rows.iter().filter_map(|row| match &row.0[..] {
        [Some(name), Some(value)] => Some((name, value)),
        _ => None,
    }) {
        if let Some((_, name, help)) = LISTS.iter().find(|(list, ..)| list == name) {
            page.one(name, help, "gauge", value);
        }
    }
    clients(page, seen);
    for (name, help, of) in HISTOGRAMS {
        page.head(name, help, "histogram");
        // Of several threads together.
        let mut sums: BTreeMap<_, Histogram> = BTreeMap::new();
        for pool in &seen.pools {
            sums.entry(&pool.key).or_default().add(of(&pool.stats));
        }
        for (key, sum) in sums {
            let endpoint = key.endpoint.name();
            let labels =
                [("database", &*key.database), ("user", &key.user), ("endpoint", endpoint)];
            page.histogram(name, &labels, &sum);
        }
    }
}

fn of_settings(page: &mut Page, settings: &[Shown]) {
    for (key, name, help) in [
        ("max_client_conn", "pgbouncer_config_max_client_connections", "Clients at most"),
        ("max_user_connections", "pgbouncer_config_max_user_connections", "Servers of a role"),
    ] {
        let shown = settings.iter().find(|shown| shown.key == key);
        if let Some(value) = shown.and_then(|shown| shown.value.as_ref()) {
            page.one(name, help, "gauge", value);
        }
    }
}

/// By what the exporter calls `application_name` too: as many lines as there are of them, up to a
/// bound, because clients choose it.
fn clients(page: &mut Page, seen: &Seen) {
    let mut counts: BTreeMap<[&str; 4], usize> = BTreeMap::new();
    for (thread, client) in &seen.clients {
        let Some(key) = seen.key(*thread, client.socket.pool) else { continue };
        let state = match (client.waits, client.socket.link) {
            (Some(_), _) => "waiting",
            (None, Some(_)) => "active",
            (None, None) => "idle",
        };
        let name = &*client.socket.application_name;
        let full = counts.len() >= APPLICATIONS_MAX;
        let mut by = [&*key.database, &*key.user, name, state];
        if full && !counts.contains_key(&by) {
            by[2] = "(others)";
        }
        *counts.entry(by).or_default() += 1;
    }
    page.head("pgbouncer_client_connections", "Clients by what they are.", "gauge");
    for ([database, user, name, state], count) in counts {
        let labels =
            [("database", database), ("user", user), ("application_name", name), ("state", state)];
        page.line("pgbouncer_client_connections", &labels, count);
    }
}

const APPLICATIONS_MAX: usize = 200;

type OfStats = fn(&crate::data::Stats) -> &Histogram;

const HISTOGRAMS: [(&str, &str, OfStats); 3] = [
    ("howdah_pool_wait_seconds", "A client's wait for a server.", |stats| &stats.wait),
    ("howdah_pool_server_seconds", "A query at its server.", |stats| &stats.server),
    ("howdah_pool_total_seconds", "A query as its client sees it.", |stats| &stats.total),
];

/// Upper bounds in microseconds: 64 µs to 67 s, each four times the last.
const BOUNDS: [u64; 11] = [
    1 << 6,
    1 << 8,
    1 << 10,
    1 << 12,
    1 << 14,
    1 << 16,
    1 << 18,
    1 << 20,
    1 << 22,
    1 << 24,
    1 << 26,
];

/// A column of a table and the metric made of it: what it is called behind the table's name, its
/// type, by what it is divided.
type Mapped = (&'static str, &'static str, &'static str, &'static str);
const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";
const SECONDS: &str = "counter in microseconds";

const DATABASES: [Mapped; 6] = [
    ("pool_size", "pool_size", GAUGE, "Maximum number of server connections"),
    ("reserve_pool_size", "reserve_pool", GAUGE, "Servers beyond that"),
    ("max_connections", "max_connections", GAUGE, "Servers of all its pools"),
    ("current_connections", "current_connections", GAUGE, "Servers now"),
    ("paused", "paused", GAUGE, "1 if it is paused"),
    ("disabled", "disabled", GAUGE, "1 if it is disabled"),
];
const STATS: [Mapped; 12] = [
    ("query_count", "queries_pooled_total", COUNTER, "Queries"),
    ("query_time", "queries_duration_seconds_total", SECONDS, "Time of queries"),
    ("bytes_received", "received_bytes_total", COUNTER, "Bytes of clients"),
    ("bytes_sent", "sent_bytes_total", COUNTER, "Bytes of servers"),
    ("wait_time", "client_wait_seconds_total", SECONDS, "Time of waiting for servers"),
    ("xact_count", "sql_transactions_pooled_total", COUNTER, "Transactions"),
    ("xact_time", "server_in_transaction_seconds_total", SECONDS, "Time of transactions"),
    ("client_parse_count", "client_parses_total", COUNTER, "Parse messages of clients"),
    ("server_parse_count", "server_parses_total", COUNTER, "Parse messages to servers"),
    ("bind_count", "binds_total", COUNTER, "Bind messages"),
    ("server_assignment_count", "server_assignments_total", COUNTER, "Servers given to clients"),
    ("client_login_count", "client_logins_total", COUNTER, "Logins of clients"),
];
const POOLS: [Mapped; 12] = [
    ("cl_active", "client_active_connections", GAUGE, "Clients that do not wait"),
    ("cl_waiting", "client_waiting_connections", GAUGE, "Clients that wait for a server"),
    (
        "cl_active_cancel_req",
        "client_active_cancel_connections",
        GAUGE,
        "Cancel requests on their way",
    ),
    (
        "cl_waiting_cancel_req",
        "client_waiting_cancel_connections",
        GAUGE,
        "Cancel requests that wait",
    ),
    ("sv_active", "server_active_connections", GAUGE, "Servers with a client"),
    ("sv_active_cancel", "server_active_cancel_connections", GAUGE, "Servers that cancel"),
    (
        "sv_being_canceled",
        "server_being_canceled_connections",
        GAUGE,
        "Servers with cancel requests on their way",
    ),
    ("sv_idle", "server_idle_connections", GAUGE, "Servers without a client"),
    ("sv_used", "server_used_connections", GAUGE, "There is no such state"),
    ("sv_tested", "server_testing_connections", GAUGE, "Servers made clean for the next client"),
    ("sv_login", "server_login_connections", GAUGE, "Servers being opened"),
    ("maxwait", "client_maxwait_seconds", GAUGE, "Age of the oldest wait"),
];
/// A row of SHOW LISTS and its metric.
const LISTS: [(&str, &str, &str); 11] = [
    ("databases", "pgbouncer_databases", "Count of databases"),
    ("users", "pgbouncer_users", "Count of users"),
    ("pools", "pgbouncer_pools", "Count of pools"),
    ("free_clients", "pgbouncer_free_clients", "Count of free clients"),
    ("used_clients", "pgbouncer_used_clients", "Count of used clients"),
    ("login_clients", "pgbouncer_login_clients", "Count of clients in login state"),
    ("free_servers", "pgbouncer_free_servers", "Count of free servers"),
    ("used_servers", "pgbouncer_used_servers", "Count of used servers"),
    ("dns_names", "pgbouncer_cached_dns_names", "Count of DNS names in the cache"),
    ("dns_zones", "pgbouncer_cached_dns_zones", "Count of DNS zones in the cache"),
    ("dns_queries", "pgbouncer_in_flight_dns_queries", "Count of in-flight DNS queries"),
];

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn one(&mut self, name: &str, help: &str, kind: &str, value: impl Display) {
        self.head(name, help, kind);
        self.line(name, &[], value);
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let begin = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{begin}{label}=\"{}\"", escaped(text));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    /// A metric for each of these columns, a line for each row.
    fn table(&mut self, prefix: &str, labels: &[&str], mapped: &[Mapped], table: &Table) {
        let place = |name: &str| table.columns.iter().position(|(column, _)| *column == name);
        for (column, name, kind, help) in mapped {
            let Some(at) = place(column) else { continue };
            let name = format!("{prefix}_{name}");
            let kind_word = if *kind == SECONDS { COUNTER } else { kind };
            self.head(&name, help, kind_word);
            for row in &table.rows {
                let cell = |at: usize| row.0[at].as_deref().unwrap_or_default();
                let labels = labels.iter().filter_map(|label| Some((*label, cell(place(label)?))));
                let labels: Vec<_> = labels.collect();
                match cell(at).parse() {
                    Ok(us) if *kind == SECONDS => self.line(&name, &labels, seconds(us)),
                    _ => self.line(&name, &labels, cell(at)),
                }
            }
        }
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let count = histogram.count();
        for bound in BOUNDS {
            let le = seconds(bound);
            let labels = [labels, &[("le", &*le)]].concat();
            self.line(&bucket, &labels, histogram.below(bound));
        }
        self.line(&bucket, &[labels, &[("le", "+Inf")]].concat(), count);
        self.line(&format!("{name}_sum"), labels, seconds(histogram.sum()));
        self.line(&format!("{name}_count"), labels, count);
    }
}

fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// As the text format has it; names of databases and roles are anybody's.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::table::{Kind, Row};

    #[test]
    fn rows_become_lines_with_labels_and_seconds() {
        let mut table = Table::new(&[("database", Kind::Text), ("wait_time", Kind::Numeric)]);
        table.add(Row::default().and("a \"b\"\n\\c").and(1_500_000));
        let mut page = Page::default();
        page.table("pgbouncer_stats", &["database"], &STATS, &table);
        let name = "pgbouncer_stats_client_wait_seconds_total";
        let want = format!(
            "# HELP {name} Time of waiting for servers\n# TYPE {name} counter\n\
             {name}{{database=\"a \\\"b\\\"\\n\\\\c\"}} 1.500000\n"
        );
        assert_eq!(page.text, want);
    }

    #[test]
    fn a_histogram_counts_what_took_no_longer_than_each_bound() {
        let mut histogram = Histogram::default();
        [10, 100, 1_000, 3_000_000].into_iter().for_each(|us| histogram.record(us));
        let mut page = Page::default();
        page.histogram("x", &[("pool", "p")], &histogram);
        for line in [
            "x_bucket{pool=\"p\",le=\"0.000064\"} 1",
            "x_bucket{pool=\"p\",le=\"0.000256\"} 2",
            "x_bucket{pool=\"p\",le=\"1.048576\"} 3",
            "x_bucket{pool=\"p\",le=\"4.194304\"} 4",
            "x_bucket{pool=\"p\",le=\"+Inf\"} 4",
            "x_sum{pool=\"p\"} 3.001110",
            "x_count{pool=\"p\"} 4",
        ] {
            assert!(page.text.lines().any(|other| other == line), "{line}\n{}", page.text);
        }
    }
}
