//! `[roles.NAME]` and `[databases.NAME]`: what Howdah keeps inside the cluster.

use std::collections::BTreeMap;
use std::path::Path;

use super::reader::{Table, Value};
use super::{choice, keys, tidy};
use crate::types::{DatabaseSpec, RoleKind, RoleSpec, SecretRef};

/// Longest name that PostgreSQL keeps whole (NAMEDATALEN - 1).
const IDENTIFIER_LEN_MAX: usize = 63;

/// The words of `kind`, with the connections that each may hold unless the file says otherwise.
/// They share `max_connections = 200`, as the limits of a pooler's roles do.
pub(crate) const KINDS: [(&str, RoleKind, i32); 6] = [
    ("app", RoleKind::App, 150),
    ("readonly", RoleKind::Readonly, 60),
    ("admin", RoleKind::Admin, 20),
    ("monitor", RoleKind::Monitor, 10),
    ("backup", RoleKind::Backup, 10),
    ("group", RoleKind::Group, -1),
];

pub(super) fn read_roles(top: &Table<'_>, base_dir: &Path) -> BTreeMap<String, RoleSpec> {
    let table = top.names("roles");
    let read = |(name, value): (&str, &Value<'_>)| {
        let role = read_role(&value.table(&keys::ROLE)?, value, base_dir);
        is_free_name("role", name, value, is_reserved_role(name)).then(|| (name.to_owned(), role))
    };
    table.entries().filter_map(read).collect()
}

fn read_role(table: &Table<'_>, role: &Value<'_>, base_dir: &Path) -> RoleSpec {
    let words = KINDS.map(|(word, kind, _)| (word, kind));
    let kind = match table.get("kind") {
        Some(value) => choice(value, &words),
        None => {
            let known = KINDS.map(|(word, ..)| word).join(", ");
            let hint = format!("add `kind = \"app\"`; kinds are {known}");
            role.wrong(format!("the role has no kind: `{}`", role.path), hint);
            None
        }
    };
    let password = table.get("password").and_then(|value| read_secret(value, base_dir));
    let limit = table.integer("connection_limit", -1..=262_143);
    let member_of = table.texts("member_of");
    let settings = table.names("settings").settings();
    let kind = kind.unwrap_or(RoleKind::Group);
    let usual = KINDS.iter().find(|(_, known, _)| *known == kind).map_or(-1, |(.., limit)| *limit);
    let connection_limit = limit.unwrap_or(usual);
    RoleSpec { kind, password, connection_limit, member_of, settings }
}

/// A secret by reference. The value of the key is never shown: it may be the secret itself.
pub(super) fn read_secret(value: &Value<'_>, base_dir: &Path) -> Option<SecretRef> {
    let forms = "write `{ env = \"NAME\" }`, `{ file = \"path\" }` or \
                 `{ command = [\"program\", \"argument\"] }`";
    if !value.is_table() {
        value.wrong(format!("a secret stands in clear: `{}`", value.path), forms);
        return None;
    }
    let table = value.table(&keys::SECRET)?;
    if table.entries().count() != 1 {
        value.wrong(format!("a secret has one source: `{}`", value.path), forms);
        return None;
    }
    if let Some(name) = table.text("env") {
        return Some(SecretRef::Env(name));
    }
    if let Some(path) = table.text("file") {
        // Relative files lie where `howdah up` puts the secrets that it makes up.
        return Some(SecretRef::File(tidy(&base_dir.join("client/secrets").join(path))));
    }
    let command = table.get("command")?;
    let words = if command.is_list() { command.list() } else { Vec::new() };
    let words: Vec<String> = words.iter().filter_map(Value::text).collect();
    if words.is_empty() {
        command.wrong(format!("not a program with its arguments: `{}`", command.path), forms);
        return None;
    }
    Some(SecretRef::Command(words))
}

pub(super) fn read_databases(top: &Table<'_>) -> BTreeMap<String, DatabaseSpec> {
    let table = top.names("databases");
    let read = |(name, value): (&str, &Value<'_>)| {
        let table = value.table(&keys::DATABASE)?;
        let database = DatabaseSpec {
            owner: table.text("owner"),
            extensions: table.texts("extensions"),
            settings: table.names("settings").settings(),
        };
        let reserved = matches!(name, "template0" | "template1");
        is_free_name("database", name, value, reserved).then(|| (name.to_owned(), database))
    };
    table.entries().filter_map(read).collect()
}

/// Names that belong to PostgreSQL or to Howdah.
fn is_reserved_role(name: &str) -> bool {
    matches!(name, "postgres" | "public" | "none")
        || name.starts_with("pg_")
        || name.starts_with("howdah_")
}

/// Whether PostgreSQL takes the name whole, and it is the operator's to use; reports otherwise.
fn is_free_name(what: &str, name: &str, value: &Value<'_>, reserved: bool) -> bool {
    if reserved {
        let hint = "choose another name; this one belongs to PostgreSQL or to Howdah";
        value.wrong(format!("a reserved {what} name: `{name}`"), hint);
        return false;
    }
    let fits =
        !name.is_empty() && name.len() <= IDENTIFIER_LEN_MAX && !name.chars().any(char::is_control);
    if !fits {
        let hint = format!("a name has 1 to {IDENTIFIER_LEN_MAX} bytes of plain text");
        value.wrong(format!("not a {what}'s name: `{name}`"), hint);
    }
    fits
}
