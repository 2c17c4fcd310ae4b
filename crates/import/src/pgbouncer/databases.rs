//! `[databases]`: a connection string a line.
//!
//! Source: PgBouncer's manual, pgbouncer.ini(5), "Section [databases]".

use howdah_base::Redacted;

use super::lines::unquote;
use super::settings::DatabaseSettings;
use super::values::{limit, list, mode, number, time};

/// Its values, and what is said of those that are not followed.
pub(super) fn database(text: &str) -> Result<(DatabaseSettings, Vec<String>), String> {
    let (mut database, mut notes) = (DatabaseSettings::default(), Vec::new());
    for (name, value) in pairs(text)? {
        let set = set(&mut database, &name, &value);
        // A password is not repeated.
        let shown = if name == "password" { "***" } else { &value };
        let note = set.map_err(|why| format!("{why}: `{name}={shown}`"))?;
        notes.extend(note.map(|note| format!("`{name}`: {note}")));
    }
    Ok((database, notes))
}

fn set(database: &mut DatabaseSettings, name: &str, value: &str) -> Result<Option<String>, String> {
    let text = || Some(value.to_owned()).filter(|text| !text.is_empty());
    let own = &mut database.own;
    match name {
        "dbname" => database.name = text(),
        "host" => database.hosts = list(value),
        "port" => database.port = Some(number(value)?),
        "user" => database.user = text(),
        "password" => database.password = text().map(Redacted::new),
        "auth_user" => database.asking.user = text(),
        "auth_query" => database.asking.query = text(),
        "auth_dbname" => database.asking.database = text(),
        "pool_size" => own.size = Some(number(value)?),
        "min_pool_size" => own.min = Some(number(value)?),
        // Its name before 1.24.
        "reserve_pool_size" | "reserve_pool" => own.reserve = Some(number(value)?),
        "pool_mode" => own.mode = Some(mode(value)?),
        "max_db_connections" => own.servers_max = limit(value)?,
        "max_db_client_connections" => own.clients_max = limit(value)?,
        "server_lifetime" => own.server_lifetime = time(value)?,
        "client_encoding" | "datestyle" | "timezone" | "application_name" => {
            database.begins_with.push((name.to_owned(), value.to_owned()));
        }
        "load_balance_hosts" => match value {
            "round-robin" => {}
            "disable" => {
                let why = "hosts are tried in turn; name one, or put one proxy before them";
                return Ok(Some(why.to_owned()));
            }
            _ => return Err("neither round-robin nor disable".to_owned()),
        },
        "connect_query" => {
            let why =
                "it is not sent; ALTER DATABASE or ALTER ROLE ... SET does it for every session";
            return Ok(Some(why.to_owned()));
        }
        _ => return Err("not a key of a database".to_owned()),
    }
    Ok(None)
}

/// `name=value`, with blanks between; a value may stand in single quotes, with a quote in it
/// doubled.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((name, behind)) = rest.split_once('=') else {
            return Err("not name=value".to_owned());
        };
        let (name, behind) = (name.trim(), behind.trim_start());
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err("not name=value".to_owned());
        }
        let (value, after) = match behind.strip_prefix('\'') {
            Some(quoted) => unquote(quoted, '\'').ok_or("a quote is not closed")?,
            None => {
                let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
                (behind[..end].to_owned(), &behind[end..])
            }
        };
        pairs.push((name.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(pairs)
}
