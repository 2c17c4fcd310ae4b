//! Variables that belong together: a user, its password, its database.

use super::{Scope, Variable};
use crate::draft::{Claim, Draft, Key, Rank, Value};
use crate::finding::Fate;
use crate::roles::{self, Attributes};

/// One image's or one tool's names for a login.
struct Family {
    users: &'static [&'static str],
    passwords: &'static [&'static str],
    databases: &'static [&'static str],
    /// Who is meant without a user.
    default_user: Option<&'static str>,
    /// The user was made a superuser.
    superuser: bool,
    /// Without a database there is one of the user's name.
    own_database: bool,
    rank: Rank,
}

/// Who connects, and no more.
const CLIENT: Family = Family {
    users: &[],
    passwords: &[],
    databases: &[],
    default_user: None,
    superuser: false,
    own_database: false,
    rank: Rank::Client,
};

const FAMILIES: [Family; 6] = [
    // The official image.
    Family {
        users: &["POSTGRES_USER"],
        passwords: &["POSTGRES_PASSWORD"],
        databases: &["POSTGRES_DB"],
        default_user: Some("postgres"),
        superuser: true,
        own_database: true,
        rank: Rank::Environment,
    },
    // Bitnami's image.
    Family {
        users: &["POSTGRESQL_USERNAME", "POSTGRES_USERNAME"],
        passwords: &["POSTGRESQL_PASSWORD"],
        databases: &["POSTGRESQL_DATABASE", "POSTGRES_DATABASE"],
        default_user: Some("postgres"),
        rank: Rank::Environment,
        ..CLIENT
    },
    // Applications.
    Family {
        users: &["DB_USER", "DB_USERNAME"],
        passwords: &["DB_PASSWORD", "DB_PASS"],
        databases: &["DB_NAME", "DB_DATABASE"],
        ..CLIENT
    },
    Family {
        users: &["DATABASE_USER", "DATABASE_USERNAME"],
        passwords: &["DATABASE_PASSWORD"],
        databases: &["DATABASE_NAME"],
        ..CLIENT
    },
    // libpq.
    Family { users: &["PGUSER"], passwords: &["PGPASSWORD"], databases: &["PGDATABASE"], ..CLIENT },
    // PgBouncer's image.
    Family {
        users: &["DATABASES_USER"],
        passwords: &["DATABASES_PASSWORD"],
        databases: &["DATABASES_DBNAME"],
        ..CLIENT
    },
];

/// Standbys connect with these; a certificate takes their place.
const REPLICATION_USERS: [&str; 5] = [
    "POSTGRES_REPLICATION_USER",
    "POSTGRESQL_REPLICATION_USER",
    "REPLICATION_USER",
    "REPLICATION_USERNAME",
    "PG_REPLICATION_USER",
];
const REPLICATION_PASSWORDS: [&str; 4] = [
    "POSTGRES_REPLICATION_PASSWORD",
    "POSTGRESQL_REPLICATION_PASSWORD",
    "REPLICATION_PASSWORD",
    "PG_REPLICATION_PASSWORD",
];
pub(super) const CERTIFICATES: &str =
    "standbys prove themselves by certificates of the cluster's own authority";

/// Names that replication goes by in this scope.
pub(super) fn replicators(scope: &Scope) -> Vec<String> {
    let named = scope.variables.iter().filter(|v| REPLICATION_USERS.contains(&v.name.as_str()));
    named.map(|variable| variable.value.clone()).filter(|name| !name.is_empty()).collect()
}

pub(super) fn carry(draft: &mut Draft, scope: &Scope) {
    for variable in &scope.variables {
        let name = variable.name.strip_suffix("_FILE").unwrap_or(&variable.name);
        if REPLICATION_USERS.contains(&name) || REPLICATION_PASSWORDS.contains(&name) {
            draft.tell(variable.leaf, Fate::replaced(CERTIFICATES));
        }
        // Bitnami's superuser.
        if name == "POSTGRESQL_POSTGRES_PASSWORD" {
            password(draft, "postgres", variable);
        }
    }
    for family in &FAMILIES {
        login(draft, scope, family);
    }
}

fn login(draft: &mut Draft, scope: &Scope, family: &Family) {
    let user = scope.get(family.users);
    let database = scope.get(family.databases);
    let with_file = |name: &&str| [(*name).to_owned(), format!("{name}_FILE")];
    let names: Vec<String> = family.passwords.iter().flat_map(with_file).collect();
    let passwords: Vec<&Variable> =
        scope.variables.iter().filter(|variable| names.contains(&variable.name)).collect();
    let members = user.into_iter().chain(database).chain(passwords.iter().copied());
    let name = user.map(|user| user.value.as_str()).filter(|name| !name.is_empty());
    if let Some(variable) = name.and_then(roles::variable) {
        let what = format!("its user is set from the variable {variable}; declare `[roles.NAME]`");
        return members.for_each(|member| draft.tell(member.leaf, Fate::not_carried(&what)));
    }
    if name.is_some_and(|name| draft.replicators.contains(name)) {
        return members.for_each(|member| draft.tell(member.leaf, Fate::replaced(CERTIFICATES)));
    }
    let role = name.or(family.default_user);
    if let (Some(user), Some(name)) = (user, name) {
        let attributes = Attributes { superuser: family.superuser, ..Attributes::default() };
        roles::declare(draft, name, attributes, user.leaf, family.rank);
        if family.own_database && database.is_none() {
            roles::database(draft, name, Some(name), user.leaf, family.rank);
        }
    }
    for variable in passwords {
        match role {
            Some(role) => password(draft, role, variable),
            None => {
                let what = "whose password? declare `[roles.NAME]`";
                draft.tell(variable.leaf, Fate::not_carried(what));
            }
        }
    }
    if let Some(database) = database {
        base(draft, database, name, family.rank);
    }
    let doubles = [(family.users, user), (family.databases, database)];
    for (names, counts) in doubles {
        let Some(counts) = counts else { continue };
        let others = scope.variables.iter().filter(|v| names.contains(&v.name.as_str()));
        for other in others.filter(|other| other.leaf != counts.leaf) {
            let why = format!("it means the same as {}, which counts", counts.name);
            draft.tell(other.leaf, Fate::not_carried(why));
        }
    }
}

fn base(draft: &mut Draft, variable: &Variable, owner: Option<&str>, rank: Rank) {
    match (roles::variable(&variable.value), variable.value.as_str()) {
        (Some(name), _) => {
            let what = format!("it is set from the variable {name}; declare `[databases.NAME]`");
            draft.tell(variable.leaf, Fate::not_carried(what));
        }
        (None, "") => draft.tell(variable.leaf, Fate::not_carried("it is empty")),
        (None, name) => roles::database(draft, name, owner, variable.leaf, rank),
    }
}

/// A password, or the file that holds it.
fn password(draft: &mut Draft, role: &str, variable: &Variable) {
    let Variable { name, value, leaf } = variable;
    if !name.ends_with("_FILE") {
        return roles::password(draft, role, value, *leaf, Rank::Environment);
    }
    if roles::is_superuser(role) || value.is_empty() {
        return roles::password(draft, role, value, *leaf, Rank::Environment);
    }
    let key = Key::of(&["roles", role, "password"]);
    let file = Value::Secret("file", value.clone());
    draft.claim(Claim::new(key, file, *leaf, Rank::Environment));
}
