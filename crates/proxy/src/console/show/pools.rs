//! SHOW POOLS: one row for a database and a role, whichever endpoints and threads serve it.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::console::seen::Seen;
use crate::console::table::{Column, Kind, Row, Table};
use crate::data::{PoolSeen, us};

const COLUMNS: [Column; 21] = [
    ("database", Kind::Text),
    ("user", Kind::Text),
    ("cl_active", Kind::Int4),
    ("cl_waiting", Kind::Int4),
    ("cl_active_cancel_req", Kind::Int4),
    ("cl_waiting_cancel_req", Kind::Int4),
    ("sv_active", Kind::Int4),
    ("sv_active_cancel", Kind::Int4),
    ("sv_being_canceled", Kind::Int4),
    ("sv_idle", Kind::Int4),
    ("sv_used", Kind::Int4),
    ("sv_tested", Kind::Int4),
    ("sv_login", Kind::Int4),
    ("maxwait", Kind::Int4),
    ("maxwait_us", Kind::Int4),
    ("pool_mode", Kind::Text),
    ("load_balance_hosts", Kind::Text),
    // Ours.
    ("endpoints", Kind::Text),
    ("held", Kind::Int4),
    ("wait_p50_us", Kind::Int8),
    ("wait_p99_us", Kind::Int8),
];

/// Pools of one database and role together.
#[derive(Default)]
pub(in crate::console) struct Sum {
    pub clients: usize,
    pub waiting: usize,
    pub oldest: Option<Instant>,
    pub active: usize,
    pub idle: usize,
    pub tested: usize,
    pub being_cancelled: usize,
    pub cancels: usize,
    pub opening: usize,
    pub mode: &'static str,
    endpoints: Vec<&'static str>,
    held: bool,
    wait: crate::pool::Histogram,
}

impl Sum {
    fn add(&mut self, pool: &PoolSeen) {
        self.clients += pool.clients;
        self.waiting += pool.waiting;
        self.oldest = match (self.oldest, pool.oldest) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.active += pool.active;
        self.idle += pool.idle;
        self.tested += pool.tested;
        self.being_cancelled += pool.being_cancelled;
        self.cancels += pool.cancels;
        self.opening += pool.opening;
        self.mode = pool.mode.word();
        self.held |= pool.held;
        self.wait.add(&pool.stats.wait);
        if !self.endpoints.contains(&pool.key.endpoint.name()) {
            self.endpoints.push(pool.key.endpoint.name());
            self.endpoints.sort_unstable();
        }
    }

    /// Whole seconds, and the microseconds beyond them.
    pub fn longest_wait(&self, now: Instant) -> (u64, u64) {
        let longest = self.oldest.map_or(0, |at| us(now.saturating_duration_since(at)));
        (longest / 1_000_000, longest % 1_000_000)
    }
}

/// By database and role.
pub(in crate::console) fn sums(seen: &Seen) -> BTreeMap<(&str, &str), Sum> {
    let mut sums: BTreeMap<_, Sum> = BTreeMap::new();
    for pool in &seen.pools {
        sums.entry((&*pool.key.database, &*pool.key.user)).or_default().add(pool);
    }
    sums
}

pub(in crate::console) fn show(seen: &Seen) -> Table {
    let mut table = Table::new(&COLUMNS);
    for ((database, user), sum) in sums(seen) {
        let (seconds, micros) = sum.longest_wait(seen.at);
        let active = sum.clients.saturating_sub(sum.waiting);
        let row = Row::default().and(database).and(user);
        let row = row.and_all([active, sum.waiting, sum.cancels, 0]);
        let row = row.and_all([sum.active, sum.cancels, sum.being_cancelled, sum.idle, 0]);
        let row = row.and_all([sum.tested, sum.opening]).and_all([seconds, micros]);
        let row = row.and(sum.mode).or_null(None::<&str>);
        let row = row.and(sum.endpoints.join(",")).and(u8::from(sum.held));
        table.add(row.and_all([sum.wait.quantile(500), sum.wait.quantile(990)]));
    }
    let own = Row::default().and("pgbouncer").and("pgbouncer").and(seen.consoles.len());
    let own = own.and_all([0; 12]).and("statement").or_null(None::<&str>);
    table.add(own.and("").and_all([0; 3]));
    table
}
