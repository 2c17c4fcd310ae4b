//! From what is and what is wanted to what is to be done. Pure; randomness is an argument.
//!
//! Roles come first, because memberships and owners name them; a database comes before what
//! lies in it.

use std::collections::BTreeSet;

use howdah_base::Redacted;

use super::change::Change;
use super::current::{Current, Database, Role};
use super::error::Refusal;
use super::scram::{Salt, Verifier};
use super::wanted::{Rights, Wanted, WantedDatabase, WantedRole};
use super::{settings, sql};

/// The changes that make `wanted` true, in the order in which they must run; or everything in
/// it that this server cannot have. Empty when nothing differs.
pub fn plan(
    current: &Current,
    wanted: &Wanted,
    mut salt: impl FnMut() -> Salt,
) -> Result<Vec<Change>, Vec<Refusal>> {
    let refusals = refusals(current, wanted);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let fresh = Role::default();
    let known = |role: &WantedRole| current.roles.get(&role.name).unwrap_or(&fresh);
    let roles = || wanted.roles.iter().map(|role| (role, known(role)));

    let mut changes = Vec::new();
    for (role, _) in roles().filter(|(role, _)| !current.roles.contains_key(&role.name)) {
        changes.push(create_role(role));
    }
    for (role, now) in roles().filter(|(role, _)| current.roles.contains_key(&role.name)) {
        changes.extend(alter_role(role, now));
    }
    for (role, now) in roles() {
        changes.extend(set_password(role, now, &mut salt));
        changes.extend(memberships(current, role, now));
        changes.extend(settings::changes(&subject(role), &now.settings, &role.settings));
    }
    for database in &wanted.databases {
        changes.extend(one_database(current, database));
    }
    Ok(changes)
}

fn create_role(role: &WantedRole) -> Change {
    let rights = rights(&role.rights).join(" ");
    Change::new(format!("CREATE {} {rights}", subject(role)))
}

fn alter_role(role: &WantedRole, now: &Role) -> Option<Change> {
    let (wanted, now) = (rights(&role.rights), rights(&now.rights));
    let differing: Vec<_> =
        wanted.into_iter().zip(now).filter(|(wanted, now)| wanted != now).map(|(w, _)| w).collect();
    (!differing.is_empty())
        .then(|| Change::new(format!("ALTER {} {}", subject(role), differing.join(" "))))
}

/// Each right as its keyword, always in the same order.
fn rights(rights: &Rights) -> Vec<String> {
    let word = |has: bool, word: &str| if has { word.to_owned() } else { format!("NO{word}") };
    vec![
        word(rights.login, "LOGIN"),
        word(rights.superuser, "SUPERUSER"),
        word(rights.createdb, "CREATEDB"),
        word(rights.createrole, "CREATEROLE"),
        word(rights.replication, "REPLICATION"),
        word(rights.bypassrls, "BYPASSRLS"),
        format!("CONNECTION LIMIT {}", rights.connection_limit),
    ]
}

/// Nothing when the verifier that the server has was made from the wanted password.
fn set_password(role: &WantedRole, now: &Role, salt: &mut impl FnMut() -> Salt) -> Option<Change> {
    let wanted = role.password.as_ref()?.expose();
    let stored = now.password.as_ref().map(Redacted::expose);
    let verifier = match wanted.parse::<Verifier>() {
        Ok(ready) => ready,
        Err(_) if is_of(stored, wanted) => return None,
        Err(_) => Verifier::new(wanted, salt()),
    };
    let verifier = verifier.to_string();
    (stored != Some(&verifier)).then(|| {
        Change::secret(&format!("ALTER {} PASSWORD", subject(role)), &sql::literal(&verifier))
    })
}

fn is_of(stored: Option<&String>, password: &str) -> bool {
    let verifier = stored.and_then(|text| text.parse::<Verifier>().ok());
    verifier.is_some_and(|verifier| verifier.accepts(password))
}

fn memberships(current: &Current, role: &WantedRole, now: &Role) -> Vec<Change> {
    let there = role.member_of_if_there.iter().filter(|name| current.roles.contains_key(*name));
    let wanted: BTreeSet<&String> = role.member_of.iter().chain(there).collect();
    let member = sql::name(&role.name);
    let surplus = now.member_of.iter().filter(|group| !wanted.contains(group));
    let revoked = surplus.map(|group| format!("REVOKE {} FROM {member}", sql::name(group)));
    let missing = wanted.iter().filter(|group| !now.member_of.contains(**group));
    let granted = missing.map(|group| format!("GRANT {} TO {member}", sql::name(group)));
    revoked.chain(granted).map(Change::new).collect()
}

fn one_database(current: &Current, wanted: &WantedDatabase) -> Vec<Change> {
    let subject = format!("DATABASE {}", sql::name(&wanted.name));
    let fresh = Database { owner: wanted.owner.clone().unwrap_or_default(), ..Database::default() };
    let known = current.databases.get(&wanted.name);
    let now = known.unwrap_or(&fresh);

    let mut changes = Vec::new();
    if known.is_none() {
        changes.push(create_database(&subject, wanted));
    }
    if let Some(owner) = wanted.owner.as_ref().filter(|owner| **owner != now.owner) {
        changes.push(Change::new(format!("ALTER {subject} OWNER TO {}", sql::name(owner))));
    }
    changes.extend(settings::changes(&subject, &now.settings, &wanted.settings));
    for extension in &wanted.extensions {
        changes.extend(one_extension(current, &wanted.name, now, extension));
    }
    changes
}

/// From template0, which nobody can have changed, and always in UTF-8.
fn create_database(subject: &str, wanted: &WantedDatabase) -> Change {
    let owner = wanted.owner.as_ref();
    let owner = owner.map(|owner| format!(" OWNER {}", sql::name(owner))).unwrap_or_default();
    Change::new(format!("CREATE {subject}{owner} TEMPLATE template0 ENCODING 'UTF8'"))
}

fn one_extension(
    current: &Current,
    database: &str,
    now: &Database,
    extension: &str,
) -> Option<Change> {
    let name = sql::name(extension);
    let sql = match now.extensions.get(extension) {
        None => format!("CREATE EXTENSION IF NOT EXISTS {name} CASCADE"),
        // The package was upgraded and this database has not followed yet.
        Some(version) if current.installable.get(extension) != Some(version) => {
            format!("ALTER EXTENSION {name} UPDATE")
        }
        Some(_) => return None,
    };
    Some(Change::new(sql).within(database))
}

fn subject(role: &WantedRole) -> String {
    format!("ROLE {}", sql::name(&role.name))
}

/// Everything that cannot be, all at once.
fn refusals(current: &Current, wanted: &Wanted) -> Vec<Refusal> {
    let roles: BTreeSet<&String> =
        current.roles.keys().chain(wanted.roles.iter().map(|role| &role.name)).collect();
    let mut refusals = Vec::new();
    for role in &wanted.roles {
        if is_reserved(&role.name) {
            refusals.push(Refusal::ReservedRole(role.name.clone()));
        }
        for group in role.member_of.iter().filter(|group| !roles.contains(group)) {
            let role = role.name.clone();
            refusals.push(Refusal::NoGroup { role, group: group.clone() });
        }
    }
    for WantedDatabase { name, owner, extensions, .. } in &wanted.databases {
        if name.starts_with("template") {
            refusals.push(Refusal::ReservedDatabase(name.clone()));
        }
        if let Some(owner) = owner.as_ref().filter(|owner| !roles.contains(owner)) {
            let database = name.clone();
            refusals.push(Refusal::NoOwner { database, owner: owner.clone() });
        }
        for extension in extensions.iter().filter(|e| !current.installable.contains_key(*e)) {
            let database = name.clone();
            refusals.push(Refusal::NoExtension { database, extension: extension.clone() });
        }
    }
    refusals
}

/// The superuser and the replicator are Howdah's own: a mistake there locks it out.
fn is_reserved(role: &str) -> bool {
    matches!(role, "postgres" | "public" | "none")
        || role.starts_with("pg_")
        || role.starts_with("howdah_")
}
