//! pgbouncer.ini on its way into a cluster file: what bounds its pools has a place in `[pools]`.

use super::lines::{Says, lines};
use crate::draft::{Claim, Draft, Key, LeafId, Rank, Value};
use crate::finding::Fate;
use crate::input::Input;
use crate::yaml::Path;

/// What is said of the rest.
pub(crate) const POOLER: &str =
    "the nodes' own pooler needs no such word; `howdah pgbouncer` follows the file itself";

/// What stands behind a key of PgBouncer's.
#[derive(Clone, Copy)]
enum Kind {
    /// A number; 0 is no limit, as in the cluster file.
    Number,
    Seconds,
    Word,
}

/// Keys of `[pgbouncer]` and where they belong.
const PLACES: [(&str, &[&str], Kind); 17] = [
    ("max_client_conn", &["endpoints", "clients_max"], Kind::Number),
    ("pool_mode", &["pools", "mode"], Kind::Word),
    ("default_pool_size", &["pools", "size"], Kind::Number),
    ("min_pool_size", &["pools", "min"], Kind::Number),
    ("reserve_pool_size", &["pools", "reserve"], Kind::Number),
    ("reserve_pool_timeout", &["pools", "reserve_wait"], Kind::Seconds),
    ("max_db_connections", &["pools", "database_servers_max"], Kind::Number),
    ("max_user_connections", &["pools", "role_servers_max"], Kind::Number),
    ("max_db_client_connections", &["pools", "database_clients_max"], Kind::Number),
    ("max_user_client_connections", &["pools", "role_clients_max"], Kind::Number),
    ("query_wait_timeout", &["pools", "wait"], Kind::Seconds),
    ("query_timeout", &["pools", "query_timeout"], Kind::Seconds),
    ("transaction_timeout", &["pools", "transaction_timeout"], Kind::Seconds),
    ("idle_transaction_timeout", &["pools", "idle_transaction_timeout"], Kind::Seconds),
    ("client_idle_timeout", &["pools", "client_idle_timeout"], Kind::Seconds),
    ("server_idle_timeout", &["pools", "server_idle_timeout"], Kind::Seconds),
    ("server_lifetime", &["pools", "server_lifetime"], Kind::Seconds),
];

/// Where in a cluster file a key of `[pgbouncer]` belongs: table and key.
pub fn path_of(name: &str) -> Option<(&'static str, &'static str)> {
    let (_, path, _) = PLACES.iter().find(|(known, ..)| *known == name)?;
    let [table, key] = path else { return None };
    Some((table, key))
}

/// Tells of every `name = value` below a `[section]`.
pub(crate) fn carry(draft: &mut Draft, source: usize, input: &Input) {
    for line in lines(&input.file, &input.text) {
        let (section, number) = (&line.section, line.number);
        // A line that is not understood may hold anything.
        let key = match &line.says {
            Says::Key(name, _) => format!("{section}.{name}"),
            Says::Include(_) => format!("{section}.%include"),
            Says::Nothing => format!("line {number}"),
        };
        let path = Path(vec![section.clone(), key.clone()]);
        let leaf = draft.leaves(source).add_at(&path, &key, number);
        match &line.says {
            Says::Nothing => draft.tell(leaf, Fate::Unknown("not name = value".to_owned())),
            Says::Key(name, value) if section == "pgbouncer" => {
                take(draft, name, value, leaf, Rank::Environment);
            }
            _ => draft.tell(leaf, Fate::not_carried(POOLER)),
        }
    }
}

/// Carries a key of `[pgbouncer]`, or tells that it has no place.
pub(crate) fn take(draft: &mut Draft, name: &str, value: &str, leaf: LeafId, rank: Rank) {
    match place(name, value) {
        Some(Ok((key, value))) => draft.claim(Claim::new(key, value, leaf, rank)),
        Some(Err(why)) => draft.tell(leaf, Fate::not_carried(why)),
        None => draft.tell(leaf, Fate::not_carried(POOLER)),
    }
}

/// Where a key of `[pgbouncer]` belongs, and its value there.
pub(crate) fn place(name: &str, value: &str) -> Option<Result<(Key, Value), &'static str>> {
    let (_, path, kind) = PLACES.iter().find(|(known, ..)| *known == name)?;
    let value = value.trim();
    let read = match kind {
        Kind::Number => value.parse().ok().map(Value::Number),
        Kind::Seconds => {
            let seconds = value.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0);
            seconds.map(|seconds| Value::text(format!("{}ms", (seconds * 1_000.0).round())))
        }
        Kind::Word => {
            ["session", "transaction", "statement"].contains(&value).then(|| Value::text(value))
        }
    };
    Some(read.map(|value| (Key::of(path), value)).ok_or("its value cannot be read; set it by hand"))
}
