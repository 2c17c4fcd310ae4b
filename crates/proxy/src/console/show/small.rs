//! The tables that need little or nothing of the threads.

use std::fs;

use super::databases::{Around, names};
use crate::console::Shown;
use crate::console::seen::Seen;
use crate::console::table::{Kind, Row, Table};

/// The most that a column of type int4 holds.
const INT4_MAX: u64 = i32::MAX as u64;

/// The release of PgBouncer whose console this is, for those who ask a pooler by its version what
/// its columns are.
pub(in crate::console) const LIKE: &str = "1.25.0";

pub(in crate::console) fn version() -> Table {
    let mut table = Table::new(&[("version", Kind::Text)]);
    let own = env!("CARGO_PKG_VERSION");
    table.add(Row::default().and(format!("PgBouncer {LIKE} console of Howdah {own}")));
    table
}

pub(in crate::console) fn lists(seen: &Seen, around: &Around<'_>) -> Table {
    let mut table = Table::new(&[("list", Kind::Text), ("items", Kind::Int4)]);
    let mut users: Vec<_> = seen.pools.iter().map(|pool| &pool.key.user).collect();
    users.sort_unstable();
    users.dedup();
    let clients: usize = seen.pools.iter().map(|pool| pool.clients).sum();
    let servers = seen.pools.iter();
    let servers: usize = servers.map(|p| p.active + p.idle + p.tested + p.being_cancelled).sum();
    // The console's own are counted, as PgBouncer does.
    for (name, items) in [
        ("databases", names(seen, around).len() + 1),
        ("users", users.len() + 1),
        ("peers", 0),
        ("pools", super::pools::sums(seen).len() + 1),
        ("peer_pools", 0),
        ("free_clients", 0),
        ("used_clients", clients + seen.consoles.len()),
        ("login_clients", 0),
        ("free_servers", 0),
        ("used_servers", servers),
        ("dns_names", 0),
        ("dns_zones", 0),
        ("dns_queries", 0),
        ("dns_pending", 0),
    ] {
        table.add(Row::default().and(name).and(items));
    }
    table
}

pub(in crate::console) fn config(settings: &[Shown]) -> Table {
    let names = ["key", "value", "default", "changeable"];
    let mut table = Table::new(&names.map(|name| (name, Kind::Text)));
    for Shown { key, value, default, changeable } in settings {
        let row = Row::default().and(key).or_null(value.as_ref()).or_null(default.as_ref());
        table.add(row.and(if *changeable { "yes" } else { "no" }));
    }
    table
}

pub(in crate::console) fn state(paused: bool) -> Table {
    let mut table = Table::new(&[("key", Kind::Text), ("value", Kind::Text)]);
    for (key, holds) in [("active", !paused), ("paused", paused), ("suspended", false)] {
        table.add(Row::default().and(key).and(if holds { "yes" } else { "no" }));
    }
    table
}

/// PgBouncer's slabs are none here; what the process has in memory is.
pub(in crate::console) fn mem() -> Table {
    let mut table = Table::new(&[
        ("name", Kind::Text),
        ("size", Kind::Int4),
        ("used", Kind::Int4),
        ("free", Kind::Int4),
        ("memtotal", Kind::Int4),
    ]);
    // proc(5): resident pages are the second number.
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).unwrap_or(0);
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(0);
    let size = u64::try_from(size).unwrap_or(0);
    table.add(Row::default().and("resident_pages").and_all([
        size,
        pages,
        0,
        (size * pages).min(INT4_MAX),
    ]));
    table
}

pub(in crate::console) fn peers() -> Table {
    Table::new(&[
        ("peer_id", Kind::Int4),
        ("host", Kind::Text),
        ("port", Kind::Int4),
        ("pool_size", Kind::Int4),
    ])
}

pub(in crate::console) fn peer_pools() -> Table {
    Table::new(&[
        ("peer_id", Kind::Int4),
        ("cl_active_cancel_req", Kind::Int4),
        ("cl_waiting_cancel_req", Kind::Int4),
        ("sv_active_cancel", Kind::Int4),
        ("sv_login", Kind::Int4),
    ])
}

pub(in crate::console) fn dns_hosts() -> Table {
    Table::new(&[("hostname", Kind::Text), ("ttl", Kind::Int8), ("addrs", Kind::Text)])
}

pub(in crate::console) fn dns_zones() -> Table {
    Table::new(&[("zonename", Kind::Text), ("serial", Kind::Int8), ("count", Kind::Int4)])
}

/// What SHOW HELP says, as a notice.
pub(in crate::console) const HELP: &str = "\n\
    \tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION\n\
    \tSHOW PEERS|PEER_POOLS\n\
    \tSHOW SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE\n\
    \tSHOW DNS_HOSTS|DNS_ZONES\n\
    \tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS\n\
    \tSET key = arg\n\
    \tRELOAD\n\
    \tPAUSE [<db>]\n\
    \tRESUME [<db>]\n\
    \tDISABLE <db>\n\
    \tENABLE <db>\n\
    \tRECONNECT [<db>]\n\
    \tKILL [<db>]\n\
    \tKILL_CLIENT <client_id>\n\
    \tSHUTDOWN\n\
    \tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS\n\
    \tWAIT_CLOSE [<db>]";
