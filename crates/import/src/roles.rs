//! Roles, databases and passwords of an input. A password never goes further than here: the
//! cluster file gets a place, and the operator is told of it.

use crate::draft::{Claim, Draft, Key, LeafId, Rank, Value};
use crate::finding::Fate;
use crate::names;

/// Whose connections nobody limits, as it was before.
const NO_LIMIT: i64 = -1;

/// A role as PostgreSQL's CREATE ROLE knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) superuser: bool,
    pub(crate) createdb: bool,
    pub(crate) createrole: bool,
    pub(crate) replication: bool,
    pub(crate) no_login: bool,
    /// It only looks at statistics.
    pub(crate) monitor: bool,
}

impl Attributes {
    /// The kind of role that comes nearest, and what it lacks.
    pub(crate) fn kind(self) -> (&'static str, Option<&'static str>) {
        let lost = self.superuser.then_some("no longer a superuser");
        match self {
            Attributes { no_login: true, .. } => ("group", lost),
            Attributes { monitor: true, .. } => ("monitor", lost),
            Attributes { createdb: true, .. } | Attributes { createrole: true, .. } => {
                ("admin", lost)
            }
            Attributes { replication: true, .. } => ("backup", lost),
            _ => ("app", lost),
        }
    }

    /// Takes in one option of CREATE ROLE; false when it is none of these.
    pub(crate) fn add(&mut self, option: &str) -> bool {
        match option.trim().to_ascii_lowercase().as_str() {
            "superuser" => self.superuser = true,
            "createdb" => self.createdb = true,
            "createrole" => self.createrole = true,
            "replication" => self.replication = true,
            "nologin" => self.no_login = true,
            "login" | "inherit" | "nosuperuser" | "nocreatedb" | "nocreaterole"
            | "noreplication" | "nobypassrls" => {}
            _ => return false,
        }
        true
    }
}

/// Whether a role is PostgreSQL's own superuser, who is in no cluster file.
pub(crate) fn is_superuser(name: &str) -> bool {
    name == "postgres"
}

/// Declares a role for a leaf that names it.
pub(crate) fn declare(
    draft: &mut Draft,
    name: &str,
    attributes: Attributes,
    by: LeafId,
    rank: Rank,
) {
    if is_superuser(name) {
        return draft
            .tell(by, Fate::replaced("postgres is the superuser of Howdah's own sessions"));
    }
    let (kind, lost) = attributes.kind();
    let claim = Claim::new(Key::of(&["roles", name, "kind"]), Value::text(kind), by, rank);
    draft.claim(Claim { note: lost.map(str::to_owned), ..claim });
    let unlimited = Key::of(&["roles", name, "connection_limit"]);
    draft.claim(Claim::guess(unlimited, Value::Number(NO_LIMIT), "as it was"));
}

/// A password that was found for `role`.
pub(crate) fn password(draft: &mut Draft, role: &str, value: &str, by: LeafId, rank: Rank) {
    if is_superuser(role) {
        let why =
            "Howdah's own sessions come through a private socket; the role keeps its password";
        return draft.tell(by, Fate::replaced(why));
    }
    let key = Key::of(&["roles", role, "password"]);
    let file = format!("{}.password", names::tidy(role, "role-"));
    secret(draft, &format!("role {role}"), key, &file, value, by, rank);
}

/// A secret at `key`: the variable that held it, or a file of this name.
pub(crate) fn secret(
    draft: &mut Draft,
    of: &str,
    key: Key,
    file: &str,
    value: &str,
    by: LeafId,
    rank: Rank,
) {
    if value.is_empty() {
        return draft.tell(by, Fate::not_carried("it is empty"));
    }
    let (value, place) = match variable(value) {
        Some(name) => (Value::Secret("env", name.to_owned()), format!("the variable {name}")),
        None => {
            (Value::Secret("file", file.to_owned()), format!("<base_dir>/client/secrets/{file}"))
        }
    };
    draft.claim(Claim::new(key, value, by, rank));
    draft.secret(of, place, by);
}

/// Declares a database, with its owner where that is known.
pub(crate) fn database(draft: &mut Draft, name: &str, owner: Option<&str>, by: LeafId, rank: Rank) {
    if matches!(name, "postgres" | "template0" | "template1") {
        return draft.tell(by, Fate::replaced("every cluster has it"));
    }
    draft.claim(Claim::new(Key::of(&["databases", name]), Value::Table, by, rank));
    let key = Key::of(&["databases", name, "owner"]);
    // Who merely connects need not be the owner.
    let open = rank > Rank::Client || !draft.is_claimed(&key);
    if let Some(owner) = owner.filter(|owner| open && !is_superuser(owner)) {
        draft.claim(Claim::new(key, Value::text(owner), by, rank));
    }
}

/// The variable that a value stands for: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?text}`.
pub(crate) fn variable(value: &str) -> Option<&str> {
    let rest = value.trim().strip_prefix('$')?;
    let inner = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let name =
        inner.map_or(rest, |inner| inner.split([':', '-', '?', '+']).next().unwrap_or(inner));
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(plain);
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_told_from_a_password() {
        assert_eq!(variable("${DB_PASSWORD}"), Some("DB_PASSWORD"));
        assert_eq!(variable("$DB_PASSWORD"), Some("DB_PASSWORD"));
        assert_eq!(variable("${DB_PASSWORD:?set it}"), Some("DB_PASSWORD"));
        assert_eq!(variable("${DB_PASSWORD:-secret}"), Some("DB_PASSWORD"));
        for text in ["pa$$word", "$", "${}", "$1", "$a b", "a${B}"] {
            assert_eq!(variable(text), None, "{text}");
        }
    }

    #[test]
    fn the_nearest_kind_is_chosen() {
        let kind = |options: &[&str]| {
            let mut attributes = Attributes::default();
            assert!(options.iter().all(|option| attributes.add(option)));
            attributes.kind().0
        };
        assert_eq!(kind(&["createrole", "createdb"]), "admin");
        assert_eq!(kind(&["REPLICATION"]), "backup");
        assert_eq!(kind(&["nologin"]), "group");
        assert_eq!(kind(&["login"]), "app");
        assert!(!Attributes::default().add("bypassrls"));
    }
}
