//! `[pools]`: how many servers clients share, for how long, and whom first.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_base::Span;

use super::choice;
use super::keys;
use super::reader::{Table, Value};
use crate::pools::{ClassRule, Leaves, Own, Policy, PoolRules, Times};
use crate::types::PoolMode;

const SERVERS: std::ops::RangeInclusive<i64> = 1..=10_000;
const CLIENTS_MAX: i64 = 100_000;
const WEIGHT_MAX: i64 = 1_000;
const THREADS_MAX: i64 = 64;

/// `wait`: what holds where the file says nothing of waiting in a pool.
pub(super) fn read(top: &Table<'_>, wait: Span) -> Policy {
    let table = top.table("pools", &keys::POOLS);
    Policy {
        pool: read_rules(&table, wait),
        databases: read_own(&table, "databases"),
        roles: read_own(&table, "roles"),
        servers_max: limit(&table, "servers_max"),
        database_servers_max: limit(&table, "database_servers_max"),
        database_clients_max: limit(&table, "database_clients_max"),
        role_servers_max: limit(&table, "role_servers_max"),
        role_clients_max: limit(&table, "role_clients_max"),
        address_clients_max: limit(&table, "address_clients_max"),
        waiting_max: table.integer("waiting_max", 1..=CLIENTS_MAX).unwrap_or(10_000),
        threads: table.integer("threads", 0..=THREADS_MAX).filter(|threads| *threads > 0),
        classes: read_classes(&table),
    }
}

fn read_rules(table: &Table<'_>, wait: Span) -> PoolRules {
    let words = [("error", true), ("warning", false)];
    PoolRules {
        mode: word(table, "mode", &PoolMode::WORDS).unwrap_or(PoolMode::Off),
        size: table.integer("size", SERVERS).unwrap_or(20),
        min: table.integer("min", 0..=*SERVERS.end()).unwrap_or(0),
        reserve: table.integer("reserve", 0..=*SERVERS.end()).unwrap_or(0),
        reserve_wait: table.span("reserve_wait").map_or(Duration::from_secs(3), |span| span.0),
        leaves: word(table, "leaves", &Leaves::WORDS).unwrap_or(Leaves::Track),
        unsure_commit_fails: word(table, "unsure_commit", &words).unwrap_or(true),
        times: read_times(table, wait),
    }
}

fn read_times(table: &Table<'_>, wait: Span) -> Times {
    let standard = Times::default();
    let time = |key, standard: Option<Duration>| match table.span(key) {
        Some(span) => (!span.0.is_zero()).then_some(span.0),
        None => standard,
    };
    Times {
        wait: table.span("wait").unwrap_or(wait).0,
        query: time("query_timeout", None),
        transaction: time("transaction_timeout", None),
        idle_transaction: time("idle_transaction_timeout", None),
        client_idle: time("client_idle_timeout", None),
        server_idle: time("server_idle_timeout", standard.server_idle),
        server_lifetime: time("server_lifetime", standard.server_lifetime),
        server_check: time("server_check", standard.server_check),
        retry: standard.retry,
    }
}

/// `0`: none.
fn limit(table: &Table<'_>, key: &str) -> Option<u32> {
    table.integer(key, 0..=CLIENTS_MAX).filter(|max| *max > 0)
}

fn word<T: Copy>(table: &Table<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
    table.get(key).and_then(|value| choice(value, words))
}

fn read_own(pools: &Table<'_>, kind: &str) -> BTreeMap<String, Own> {
    let read = |(name, value): (&str, &Value<'_>)| {
        let table = value.table(&keys::OWN_POOL)?;
        let mode = table.get("mode").and_then(|mode| {
            let chosen = choice(mode, &PoolMode::WORDS)?;
            if chosen == PoolMode::Off {
                let hint = "pools are off for all or for nobody: write `mode` in `[pools]`";
                mode.wrong(format!("`{}` cannot be `\"off\"`", mode.path), hint);
            }
            Some(chosen)
        });
        let own = Own {
            mode,
            size: table.integer("size", SERVERS),
            min: table.integer("min", 0..=*SERVERS.end()),
            reserve: table.integer("reserve", 0..=*SERVERS.end()),
            server_lifetime: table.span("server_lifetime").map(|span| span.0),
            leaves: word(&table, "leaves", &Leaves::WORDS),
            servers_max: table.integer("servers_max", SERVERS),
            clients_max: table.integer("clients_max", 1..=CLIENTS_MAX),
        };
        Some((name.to_owned(), own))
    };
    pools.names(kind).entries().filter_map(read).collect()
}

/// In the order of the file, and a last one for everybody else.
fn read_classes(pools: &Table<'_>) -> Vec<ClassRule> {
    let given = pools.get("classes");
    let list = given.map(Value::list).unwrap_or_default();
    let mut classes: Vec<_> = list.iter().filter_map(read_class).collect();
    let guaranteed: u32 = classes.iter().map(|class| class.guaranteed).sum();
    if guaranteed > 100
        && let Some(value) = given
    {
        let hint = "the parts that are guaranteed are percent of one whole";
        value.wrong(format!("more is guaranteed than there is: `{guaranteed}`"), hint);
    }
    let rest = ClassRule { name: "default".to_owned(), weight: 1, ..ClassRule::default() };
    classes.push(rest);
    classes
}

fn read_class(value: &Value<'_>) -> Option<ClassRule> {
    let table = value.table(&keys::CLASS)?;
    let Some(name) = table.text("name") else {
        let hint = "add a line such as `name = \"consultation\"`";
        value.wrong("a class has no name: `pools.classes`".to_owned(), hint);
        return None;
    };
    let class = ClassRule {
        name,
        guaranteed: table.integer("guaranteed", 0..=100).unwrap_or(0),
        weight: table.integer("weight", 1..=WEIGHT_MAX).unwrap_or(1),
        roles: table.texts("roles"),
        databases: table.texts("databases"),
        application_names: table.texts("application_names"),
        endpoints: table.texts("endpoints"),
    };
    let lists = [&class.roles, &class.databases, &class.application_names, &class.endpoints];
    if lists.iter().all(|list| list.is_empty()) {
        let hint = "name its `roles`, `databases`, `application_names` or `endpoints`";
        value.wrong(format!("nobody is of this class: `{}`", class.name), hint);
    }
    for endpoint in table.get("endpoints").map(Value::list).unwrap_or_default() {
        let known = [("rw", ()), ("ro", ()), ("any", ())];
        let _ = choice(&endpoint, &known);
    }
    Some(class)
}
