//! Patroni's dynamic settings, and what each is in the cluster file.

use std::time::Duration;

use howdah_base::ask::{Refusal, RefusalClass};
use howdah_base::{Bytes, Span};
use serde_json::{Value, json};
use toml_edit::{Array, Item, value};

/// One setting of Patroni's.
pub(super) struct Key {
    pub name: &'static str,
    pub meaning: Meaning,
}

/// What it is here.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// A key of the cluster file.
    File { path: &'static [&'static str], read: fn(&str, &Value) -> Result<Item, Refusal> },
    /// `postgresql.parameters`.
    Parameters,
    /// No part of the file: an order to the agents.
    Pause,
    /// Howdah always behaves like this; any other wish is refused.
    Always { only: fn() -> Value, instead: &'static str },
}

const fn file(
    name: &'static str,
    path: &'static [&'static str],
    read: fn(&str, &Value) -> Result<Item, Refusal>,
) -> Key {
    Key { name, meaning: Meaning::File { path, read } }
}

const fn always(name: &'static str, only: fn() -> Value, instead: &'static str) -> Key {
    Key { name, meaning: Meaning::Always { only, instead } }
}

/// At the top.
pub(super) const KEYS: &[Key] = &[
    file("ttl", &["ha", "lease"], span),
    file("loop_wait", &["ha", "renew"], span),
    file("maximum_lag_on_failover", &["ha", "max_lag_on_failover"], bytes),
    file("primary_start_timeout", &["ha", "start_timeout"], span),
    file("master_start_timeout", &["ha", "start_timeout"], span),
    file("synchronous_mode", &["durability"], durability),
    file("synchronous_mode_strict", &["strict"], flag),
    Key { name: "pause", meaning: Meaning::Pause },
    always(
        "retry_timeout",
        || Value::Null,
        "the store is asked again for as long as the lease allows; `ttl` and `loop_wait` say how \
         long that is",
    ),
    always(
        "synchronous_node_count",
        || json!(1),
        "a commit waits for one of the voters, and every standby without `no_sync` is a voter",
    ),
    always(
        "maximum_lag_on_syncnode",
        || json!(-1),
        "a voter that does not stream stops being one, whatever its lag",
    ),
    always(
        "check_timeline",
        || json!(true),
        "only a standby whose timeline continues the leader's is ever promoted",
    ),
    always(
        "failsafe_mode",
        || json!(false),
        "the lease alone decides; the store has several members, so that losing one does not end it",
    ),
    always("primary_stop_timeout", || json!(0), "the guard ends a server before its lease does"),
    always("master_stop_timeout", || json!(0), "the guard ends a server before its lease does"),
    always(
        "primary_race_backoff",
        || json!(0),
        "no standby is promoted before its voters have answered",
    ),
    always("standby_cluster", || Value::Null, "there are no standby clusters"),
    always(
        "member_slots_ttl",
        || Value::Null,
        "the slot of an absent standby is kept for as long as `max_slot_wal_keep_size` allows",
    ),
    always(
        "slots",
        || json!({}),
        "make a slot by `pg_create_physical_replication_slot`; users' slots are kept on all nodes",
    ),
    always("ignore_slots", || json!([]), "slots that Howdah has not made are left alone"),
    always(
        "max_timelines_history",
        || json!(0),
        "the history keeps the last 200 changes of leader",
    ),
];

/// Below `postgresql`.
pub(super) const POSTGRESQL: &[Key] = &[
    Key { name: "parameters", meaning: Meaning::Parameters },
    file("pg_hba", &["hba"], hba),
    always("use_pg_rewind", || json!(true), "a server is rewound where that is safe, else copied"),
    always("use_slots", || json!(true), "each standby has a slot"),
    always(
        "pg_ident",
        || json!([]),
        "there is no pg_ident.conf; Howdah's own connections use certificates",
    ),
    always("recovery_conf", || json!({}), "how a standby follows is Howdah's own to write"),
    always(
        "remove_data_directory_on_rewind_failure",
        || json!(true),
        "what cannot be rewound is copied anew, unless it may be the last good copy",
    ),
    always(
        "remove_data_directory_on_diverged_timelines",
        || json!(true),
        "what cannot be rewound is copied anew, unless it may be the last good copy",
    ),
    always("create_replica_methods", || json!(["basebackup"]), "copies are made by pg_basebackup"),
    always("callbacks", || json!({}), "hooks stand in the cluster file: `[hooks.NAME]`"),
];

/// A whole number of seconds as such, as Patroni's clients expect.
pub(super) fn seconds(span: Duration) -> Value {
    match span.subsec_nanos() {
        0 => json!(span.as_secs()),
        _ => json!(span.as_secs_f64()),
    }
}

pub(super) fn malformed(name: &str, want: &str) -> Refusal {
    Refusal::new(format!("`{name}` must be {want}")).class(RefusalClass::Malformed)
}

/// PostgreSQL's parameters as the file writes them.
pub(super) fn parameters(wanted: &Value) -> Result<Vec<(String, Item)>, Refusal> {
    let Value::Object(wanted) = wanted else {
        return match wanted {
            Value::Null => Ok(Vec::new()),
            _ => Err(malformed("postgresql.parameters", "a table of parameters")),
        };
    };
    let read = |(name, wanted): (&String, &Value)| {
        let item = match wanted {
            Value::Bool(flag) => value(*flag),
            Value::String(text) => value(text),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => value(whole),
                (None, Some(real)) => value(real),
                (None, None) => value(number.to_string()),
            },
            _ => {
                let name = format!("postgresql.parameters.{name}");
                return Err(malformed(&name, "a text, a number or a truth value"));
            }
        };
        Ok((name.clone(), item))
    };
    wanted.iter().map(read).collect()
}

/// YAML's and PostgreSQL's words for a truth value too.
pub(super) fn truth(name: &str, wanted: &Value) -> Result<bool, Refusal> {
    match wanted {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        Value::String(word) if ["on", "true", "yes", "1"].contains(&word.as_str()) => Ok(true),
        Value::String(word) if ["off", "false", "no", "0"].contains(&word.as_str()) => Ok(false),
        _ => Err(malformed(name, "true or false")),
    }
}

fn flag(name: &str, wanted: &Value) -> Result<Item, Refusal> {
    Ok(value(truth(name, wanted)?))
}

/// Patroni's `true` waits for named standbys, Howdah's quorum for any: no less is promised.
fn durability(name: &str, wanted: &Value) -> Result<Item, Refusal> {
    let quorum = wanted == "quorum"
        || truth(name, wanted).map_err(|_| malformed(name, "`quorum`, true or false"))?;
    Ok(value(if quorum { "quorum" } else { "async" }))
}

/// A number of seconds, or a text such as `30s`.
fn span(name: &str, wanted: &Value) -> Result<Item, Refusal> {
    let number = match wanted {
        Value::String(text) => match text.parse::<Span>() {
            Ok(span) => return Ok(value(span.to_string())),
            Err(_) => text.trim().parse().ok(),
        },
        other => other.as_f64(),
    };
    // Above this a length of time has left every bound that the file allows.
    let seconds = number.filter(|seconds: &f64| (0.0..1e9).contains(seconds));
    let span = seconds.map(|seconds| Span(Duration::from_secs_f64(seconds)));
    span.map(|span| value(span.to_string()))
        .ok_or_else(|| malformed(name, "a number of seconds, or a text such as `30s`"))
}

/// A number of bytes, or a text such as `1MB`.
fn bytes(name: &str, wanted: &Value) -> Result<Item, Refusal> {
    let bytes = match wanted {
        Value::String(text) => {
            text.parse::<Bytes>().ok().or_else(|| text.trim().parse().ok().map(Bytes))
        }
        other => other.as_u64().map(Bytes),
    };
    bytes
        .map(|bytes| value(bytes.to_string()))
        .ok_or_else(|| malformed(name, "a number of bytes, or a text such as `1MB`"))
}

fn hba(name: &str, wanted: &Value) -> Result<Item, Refusal> {
    let lines = wanted.as_array().map(|lines| lines.iter().map(Value::as_str).collect());
    let lines: Option<Vec<&str>> = lines.unwrap_or_default();
    let lines = lines.ok_or_else(|| malformed(name, "a list of lines of pg_hba.conf"))?;
    Ok(value(lines.into_iter().collect::<Array>()))
}
