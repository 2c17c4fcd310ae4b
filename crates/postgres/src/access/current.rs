//! What the running cluster has: roles, databases, and what could be installed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use howdah_base::Redacted;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error, Row};

use super::apply::ANY_DATABASE;
use super::error::AccessError;
use super::session::{Session, cause};
use super::wanted::{Rights, Wanted};

/// Roles and databases as they are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Current {
    pub roles: BTreeMap<String, Role>,
    pub databases: BTreeMap<String, Database>,
    /// Extensions that this server could create, and in which version.
    pub installable: BTreeMap<String, String>,
}

/// A role as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Role {
    pub rights: Rights,
    /// What the server keeps of the password.
    pub password: Option<Redacted<String>>,
    pub member_of: BTreeSet<String>,
    /// Names in lower case.
    pub settings: BTreeMap<String, String>,
}

/// A database as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Database {
    pub owner: String,
    /// Installed in it, with their versions. Read only for databases that the file names.
    pub extensions: BTreeMap<String, String>,
    /// Names in lower case.
    pub settings: BTreeMap<String, String>,
}

/// Reads what `wanted` will be compared with, as the superuser that `config` names.
pub async fn read(config: &Config, wanted: &Wanted) -> Result<Current, AccessError> {
    let mut current = bounded(ANY_DATABASE, config, shared).await?;
    for database in wanted.databases.iter().filter(|database| !database.extensions.is_empty()) {
        if let Some(known) = current.databases.get_mut(&database.name) {
            known.extensions = bounded(&database.name, config, extensions).await?;
        }
    }
    Ok(current)
}

/// Asks `question` in `database`, with an answer in time or an error.
async fn bounded<T>(
    database: &str,
    config: &Config,
    question: impl AsyncFn(&Client) -> Result<T, Error>,
) -> Result<T, AccessError> {
    let session = Session::open(config, database).await?;
    let unreachable = |why: String| AccessError::Unreachable { database: database.to_owned(), why };
    let answer = timeout(READ_MAX, question(&session.client)).await;
    let answer = answer.map_err(|_| unreachable("no answer in time".to_owned()))?;
    answer.map_err(|e| unreachable(cause(&e)))
}

/// What every database of the cluster shares.
async fn shared(client: &Client) -> Result<Current, Error> {
    let mut current = Current::default();
    for row in client.query(ROLES, &[]).await? {
        current.roles.insert(row.try_get("rolname")?, role(&row)?);
    }
    for row in client.query(MEMBERSHIPS, &[]).await? {
        if let Some(role) = current.roles.get_mut(row.try_get::<_, &str>("member")?) {
            role.member_of.insert(row.try_get("role")?);
        }
    }
    for row in client.query(DATABASES, &[]).await? {
        let database = Database { owner: row.try_get("owner")?, ..Database::default() };
        current.databases.insert(row.try_get("datname")?, database);
    }
    for row in client.query(SETTINGS, &[]).await? {
        setting(&mut current, &row)?;
    }
    current.installable = versions(client, INSTALLABLE).await?;
    Ok(current)
}

fn role(row: &Row) -> Result<Role, Error> {
    let rights = Rights {
        login: row.try_get("rolcanlogin")?,
        superuser: row.try_get("rolsuper")?,
        createdb: row.try_get("rolcreatedb")?,
        createrole: row.try_get("rolcreaterole")?,
        replication: row.try_get("rolreplication")?,
        bypassrls: row.try_get("rolbypassrls")?,
        connection_limit: row.try_get("rolconnlimit")?,
    };
    let password: Option<String> = row.try_get("rolpassword")?;
    Ok(Role { rights, password: password.map(Redacted::new), ..Role::default() })
}

/// One row is for a role or for a database; `name=value`, where the name has no `=`.
fn setting(current: &mut Current, row: &Row) -> Result<(), Error> {
    let text: &str = row.try_get("setting")?;
    let Some((name, value)) = text.split_once('=') else { return Ok(()) };
    let role: Option<&str> = row.try_get("rolname")?;
    let database: Option<&str> = row.try_get("datname")?;
    let settings = match (role, database) {
        (Some(role), None) => current.roles.get_mut(role).map(|role| &mut role.settings),
        (None, Some(name)) => current.databases.get_mut(name).map(|found| &mut found.settings),
        _ => None,
    };
    if let Some(settings) = settings {
        settings.insert(name.to_lowercase(), value.to_owned());
    }
    Ok(())
}

async fn extensions(client: &Client) -> Result<BTreeMap<String, String>, Error> {
    versions(client, INSTALLED).await
}

async fn versions(client: &Client, sql: &str) -> Result<BTreeMap<String, String>, Error> {
    let rows = client.query(sql, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

const READ_MAX: Duration = Duration::from_secs(10);

const ROLES: &str = "
    SELECT rolname::text, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication,
           rolbypassrls, rolconnlimit, rolpassword
    FROM pg_catalog.pg_authid";

/// Since PostgreSQL 16 a role that creates another becomes its administrator, without
/// inheriting from it: that is no membership in the file's sense, and revoking it would take
/// the role away from its maker. Older servers have no such columns, hence the detour by JSON.
const MEMBERSHIPS: &str = "
    SELECT member.rolname::text AS member, role.rolname::text AS role
    FROM pg_catalog.pg_auth_members m
    JOIN pg_catalog.pg_authid member ON member.oid = m.member
    JOIN pg_catalog.pg_authid role ON role.oid = m.roleid
    WHERE coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true)
       OR coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)";

const DATABASES: &str = "
    SELECT d.datname::text, owner.rolname::text AS owner
    FROM pg_catalog.pg_database d
    JOIN pg_catalog.pg_authid owner ON owner.oid = d.datdba
    WHERE d.datallowconn AND NOT d.datistemplate";

/// Settings of a role in one database only are nobody's here: they stay as they are.
const SETTINGS: &str = "
    SELECT r.rolname::text, d.datname::text, unnest(s.setconfig) AS setting
    FROM pg_catalog.pg_db_role_setting s
    LEFT JOIN pg_catalog.pg_authid r ON r.oid = s.setrole
    LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase";

const INSTALLABLE: &str = "
    SELECT name::text, default_version FROM pg_catalog.pg_available_extensions";

const INSTALLED: &str = "SELECT extname::text, extversion FROM pg_catalog.pg_extension";
