//! `[pools]` and what databases, roles and classes say there.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_base::Span;

use super::{Writer, list};
use crate::pools::{ClassRule, Own, Policy};

pub(super) fn write(file: &mut Writer, policy: &Policy) {
    let (rules, times) = (&policy.pool, &policy.pool.times);
    file.table(&["pools"]);
    file.text("mode", rules.mode.word());
    file.value("size", rules.size);
    file.value("min", rules.min);
    file.value("reserve", rules.reserve);
    span(file, "reserve_wait", rules.reserve_wait);
    file.text("leaves", rules.leaves.word());
    file.text("unsure_commit", if rules.unsure_commit_fails { "error" } else { "warning" });
    span(file, "wait", times.wait);
    for (key, time) in [
        ("query_timeout", times.query),
        ("transaction_timeout", times.transaction),
        ("idle_transaction_timeout", times.idle_transaction),
        ("client_idle_timeout", times.client_idle),
        ("server_idle_timeout", times.server_idle),
        ("server_lifetime", times.server_lifetime),
        ("server_check", times.server_check),
    ] {
        span(file, key, time.unwrap_or(Duration::ZERO));
    }
    for (key, max) in [
        ("servers_max", policy.servers_max),
        ("database_servers_max", policy.database_servers_max),
        ("database_clients_max", policy.database_clients_max),
        ("role_servers_max", policy.role_servers_max),
        ("role_clients_max", policy.role_clients_max),
        ("address_clients_max", policy.address_clients_max),
    ] {
        file.value(key, max.unwrap_or(0));
    }
    file.value("waiting_max", policy.waiting_max);
    file.value("threads", policy.threads.unwrap_or(0));
    write_own(file, "databases", &policy.databases);
    write_own(file, "roles", &policy.roles);
    // The last one is everybody else's, and has no line.
    let named = policy.classes.len().saturating_sub(1);
    policy.classes.iter().take(named).for_each(|class| write_class(file, class));
}

fn write_own(file: &mut Writer, kind: &str, all: &BTreeMap<String, Own>) {
    for (name, own) in all {
        file.table(&["pools", kind, name]);
        if let Some(mode) = own.mode {
            file.text("mode", mode.word());
        }
        let numbers = [
            ("size", own.size),
            ("min", own.min),
            ("reserve", own.reserve),
            ("servers_max", own.servers_max),
            ("clients_max", own.clients_max),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                file.value(key, number);
            }
        }
        if let Some(leaves) = own.leaves {
            file.text("leaves", leaves.word());
        }
        if let Some(lifetime) = own.server_lifetime {
            span(file, "server_lifetime", lifetime);
        }
    }
}

fn write_class(file: &mut Writer, class: &ClassRule) {
    file.line("\n[[pools.classes]]");
    file.text("name", &class.name);
    file.value("guaranteed", class.guaranteed);
    file.value("weight", class.weight);
    for (key, names) in [
        ("roles", &class.roles),
        ("databases", &class.databases),
        ("application_names", &class.application_names),
        ("endpoints", &class.endpoints),
    ] {
        file.value(key, list(names));
    }
}

fn span(file: &mut Writer, key: &str, time: Duration) {
    file.text(key, Span(time));
}
