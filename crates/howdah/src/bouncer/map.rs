//! PgBouncer's words in the pooler's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::{Redacted, Span};
use howdah_import::pgbouncer::{AuthType, DatabaseSettings, OPTIONS, Own as Said, Settings, Takes};
use howdah_proxy::Shown;
use howdah_proxy::alone::{self, Address, Asks, Auth, Console, Database, Kept, Tcp};
use howdah_proxy::policy::{Own, Policy, PoolRules, Times};
use howdah_spec::hba::HbaRule;

use super::tls::Tls;
use crate::console;

/// Longer than anybody waits.
const LONG: Duration = Duration::from_secs(24 * 3600);
/// Where servers' sockets are when nothing is said.
const SOCKET_DIRS: [&str; 2] = ["/var/run/postgresql", "/tmp"];
const POSTGRES_PORT: u16 = 5432;

pub fn settings(
    said: &Settings,
    users: Vec<(String, Redacted<String>)>,
    rules: Vec<HbaRule>,
    tls: Tls,
) -> alone::Settings {
    let database = |of: &DatabaseSettings| Arc::new(database(of, said));
    alone::Settings {
        policy: policy(said),
        databases: said.databases.iter().map(|(name, of)| (name.clone(), database(of))).collect(),
        fallback: said.fallback.as_ref().map(database),
        auth: auth(said.auth.kind),
        roles: users
            .into_iter()
            .map(|(name, text)| (name, Arc::new(Kept::of(text.expose()))))
            .collect(),
        hba: Arc::new(rules),
        clients_max: said.pool.clients_max,
        client_tls: tls.clients,
        server_tls: tls.servers,
        ignored: said.startup.ignored.iter().map(|name| name.to_ascii_lowercase()).collect(),
        adds_host: said.startup.adds_host,
        logs_connections: said.log.connections,
        console: Console {
            admins: said.console.admins.clone(),
            watchers: said.console.watchers.clone(),
            shown: shown(said),
            port: said.listen.port,
        },
        tcp: tcp(said),
        client_login_timeout: said.times.client_login,
        connect_timeout: said.times.connect,
    }
}

/// All keys that are followed: by what the pools go, and what the file says.
fn shown(said: &Settings) -> Vec<Shown> {
    let keys = || OPTIONS.iter().copied().flatten();
    let mut rows = console::of_policy(&policy(said), said.pool.clients_max);
    for option in keys().filter(|option| matches!(option.takes, Takes::Sets(_))) {
        // No key of PgBouncer's: its value stands under the name that is.
        let known = option.name == "idle_timeout" || rows.iter().any(|row| row.0 == option.name);
        if !known {
            let value = said.said.get(option.name).map_or(option.default, |said| said);
            rows.push((option.name, value.to_owned(), option.default));
        }
    }
    let mut shown = console::shown(rows);
    for row in &mut shown {
        row.changeable = keys().any(|option| option.name == row.key && option.reloads);
    }
    shown
}

fn auth(kind: AuthType) -> Auth {
    match kind {
        AuthType::Any => Auth::Any,
        AuthType::Trust => Auth::Trust,
        AuthType::Plain => Auth::Plain,
        AuthType::Md5 => Auth::Md5,
        AuthType::Scram => Auth::Scram,
        AuthType::Cert => Auth::Cert,
        AuthType::Hba => Auth::Hba,
    }
}

fn tcp(said: &Settings) -> Tcp {
    // The system's own.
    let keepalive = said.tcp.idle.unwrap_or(Duration::from_secs(7200));
    Tcp {
        keepalive: said.tcp.keepalive.then_some(Span(keepalive)),
        user_timeout: Span(said.tcp.user_timeout.unwrap_or_default()),
    }
}

fn database(of: &DatabaseSettings, said: &Settings) -> Database {
    let port = of.port.unwrap_or(POSTGRES_PORT);
    let address = |host: &String| match host.starts_with('/') {
        true => Address::Unix(Path::new(host).join(format!(".s.PGSQL.{port}"))),
        false => Address::Tcp { host: host.clone(), port },
    };
    let mut addresses: Vec<Address> = of.hosts.iter().map(address).collect();
    if addresses.is_empty() {
        let there = SOCKET_DIRS.iter().find(|dir| Path::new(dir).is_dir());
        addresses.push(address(&there.unwrap_or(&SOCKET_DIRS[0]).to_string()));
    }
    let asking = &of.asking;
    let asks = asking.user.as_ref().or(said.auth.user.as_ref()).map(|user| Asks {
        user: user.clone(),
        query: asking.query.clone().unwrap_or_else(|| said.auth.query.clone()),
        database: asking.database.clone().or(said.auth.database.clone()),
    });
    Database {
        addresses,
        name: of.name.clone(),
        user: of.user.clone(),
        password: of.password.clone(),
        asks,
        begins_with: of.begins_with.clone(),
    }
}

fn policy(said: &Settings) -> Policy {
    let (pool, times) = (&said.pool, &said.times);
    let defaults = Times::default();
    let rules = PoolRules {
        mode: pool.mode,
        size: pool.size,
        min: pool.min,
        reserve: pool.reserve,
        reserve_wait: pool.reserve_wait,
        times: Times {
            wait: times.wait.unwrap_or(LONG),
            query: times.query,
            transaction: times.transaction,
            idle_transaction: times.idle_transaction,
            client_idle: times.client_idle,
            server_idle: times.server_idle,
            server_lifetime: times.server_lifetime,
            server_check: defaults.server_check,
            retry: times.retry.unwrap_or(defaults.retry),
        },
        ..PoolRules::default()
    };
    let databases = said.databases.iter().map(|(name, of)| (name.clone(), own(&of.own)));
    let roles: BTreeMap<_, _> =
        said.users.iter().map(|(name, said)| (name.clone(), own(said))).collect();
    Policy {
        pool: rules,
        databases: databases.collect(),
        roles,
        database_servers_max: pool.database_servers_max,
        database_clients_max: pool.database_clients_max,
        role_servers_max: pool.user_servers_max,
        role_clients_max: pool.user_clients_max,
        ..Policy::default()
    }
}

fn own(said: &Said) -> Own {
    Own {
        mode: said.mode,
        size: said.size,
        min: said.min,
        reserve: said.reserve,
        server_lifetime: said.server_lifetime,
        servers_max: said.servers_max,
        clients_max: said.clients_max,
        ..Own::default()
    }
}
