//! SHOW DATABASES and SHOW USERS: whatever has, or has had, a pool.

use std::collections::{BTreeMap, BTreeSet};

use howdah_spec::PoolMode;

use crate::console::seen::Seen;
use crate::console::table::{Column, Kind, Row, Table};
use crate::console::{DATABASE, Places};
use crate::data::PoolSeen;
use crate::policy::Policy;

const DATABASES: [Column; 17] = [
    ("name", Kind::Text),
    ("host", Kind::Text),
    ("port", Kind::Int4),
    ("database", Kind::Text),
    ("force_user", Kind::Text),
    ("pool_size", Kind::Int4),
    ("min_pool_size", Kind::Int4),
    ("reserve_pool_size", Kind::Int4),
    ("server_lifetime", Kind::Int4),
    ("pool_mode", Kind::Text),
    ("load_balance_hosts", Kind::Text),
    ("max_connections", Kind::Int4),
    ("current_connections", Kind::Int4),
    ("max_client_connections", Kind::Int4),
    ("current_client_connections", Kind::Int4),
    ("paused", Kind::Int4),
    ("disabled", Kind::Int4),
];
const USERS: [Column; 8] = [
    ("name", Kind::Text),
    ("pool_size", Kind::Text),
    ("reserve_pool_size", Kind::Text),
    ("pool_mode", Kind::Text),
    ("max_user_connections", Kind::Int4),
    ("current_connections", Kind::Int4),
    ("max_user_client_connections", Kind::Int4),
    ("current_client_connections", Kind::Int4),
];

/// What the operators hold, and where the servers are.
pub(in crate::console) struct Around<'a> {
    pub policy: &'a Policy,
    pub host: Option<&'a str>,
    pub port: u16,
    /// Where each database is, when each has a place of its own.
    pub places: &'a Places,
    pub own_port: u16,
    pub paused: &'a dyn Fn(&str) -> bool,
    pub disabled: &'a BTreeSet<String>,
}

/// Servers and clients.
#[derive(Clone, Copy, Default)]
struct Now {
    servers: usize,
    clients: usize,
}

impl Now {
    fn add(&mut self, pool: &PoolSeen) {
        self.servers += pool.active + pool.idle + pool.tested + pool.being_cancelled + pool.opening;
        self.clients += pool.clients;
    }
}

/// Names that are known.
pub(in crate::console) fn names<'a>(seen: &'a Seen, around: &Around<'a>) -> BTreeSet<&'a str> {
    let pools = seen.pools.iter().map(|pool| &*pool.key.database);
    let gone = seen.gone.keys().map(|name| &**name);
    let ruled = around.policy.databases.keys().map(|name| &**name);
    pools
        .chain(gone)
        .chain(ruled)
        .chain(around.places.named.keys().map(|name| &**name))
        .chain(around.disabled.iter().map(|name| &**name))
        .filter(|name| *name != DATABASE)
        .collect()
}

pub(in crate::console) fn databases(seen: &Seen, around: &Around<'_>) -> Table {
    let mut now: BTreeMap<&str, Now> = BTreeMap::new();
    for pool in &seen.pools {
        now.entry(&pool.key.database).or_default().add(pool);
    }
    let mut table = Table::new(&DATABASES);
    for name in names(seen, around) {
        let Now { servers, clients } = now.get(name).copied().unwrap_or_default();
        // Without the role's word, which is not known here.
        let rules = around.policy.of(name, "");
        let own = around.policy.databases.get(name);
        let lifetime = rules.times.server_lifetime.map_or(0, |time| time.as_secs());
        let max =
            [around.policy.database_servers_max(name), around.policy.database_clients_max(name)];
        let [servers_max, clients_max] = max.map(|max| max.unwrap_or(0) as usize);
        let place = around.places.of(name);
        let host = place.map_or(around.host, |place| Some(&place.host));
        let port = place.map_or(around.port, |place| place.port);
        let called = place.and_then(|place| place.name.as_deref()).unwrap_or(name);
        let forced = place.and_then(|place| place.user.as_deref());
        let row = Row::default().and(name).or_null(host).and(port).and(called).or_null(forced);
        let row = row.and_all([rules.size, rules.min, rules.reserve]);
        let row = row
            .and(lifetime)
            .or_null(own.and_then(|own| own.mode).map(PoolMode::word))
            .or_null(None::<&str>);
        let row = row.and_all([servers_max, servers, clients_max, clients]);
        let held = [(around.paused)(name), around.disabled.contains(name)];
        table.add(row.and_all(held.map(u8::from)));
    }
    let own = Row::default().and("pgbouncer").or_null(None::<&str>).and(around.own_port);
    let own = own.and("pgbouncer").and("pgbouncer").and_all([2, 0, 0, 0]).and("statement");
    let own = own.or_null(None::<&str>).and_all([0, 0, 0, seen.consoles.len(), 0, 0]);
    table.add(own);
    table
}

pub(in crate::console) fn users(seen: &Seen, policy: &Policy) -> Table {
    let mut now: BTreeMap<&str, Now> = BTreeMap::new();
    now.extend(policy.roles.keys().map(|name| (&**name, Now::default())));
    for pool in &seen.pools {
        now.entry(&pool.key.user).or_default().add(pool);
    }
    let mut table = Table::new(&USERS);
    for (name, Now { servers, clients }) in now {
        let own = policy.roles.get(name).copied().unwrap_or_default();
        let max = [policy.role_servers_max(name), policy.role_clients_max(name)];
        let [servers_max, clients_max] = max.map(|max| max.unwrap_or(0) as usize);
        let text = |size: Option<u32>| size.map(|size| format!("{size:9}")).unwrap_or_default();
        let row = Row::default().and(name).and(text(own.size)).and(text(own.reserve));
        let row = row.or_null(own.mode.map(PoolMode::word));
        table.add(row.and_all([servers_max, servers, clients_max, clients]));
    }
    table
}
