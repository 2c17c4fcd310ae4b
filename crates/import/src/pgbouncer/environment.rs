//! Variables of PgBouncer's container images, as an ini: `edoburu/pgbouncer` (`DB_HOST`,
//! `DATABASE_URL`, `POOL_MODE`), `pgbouncer/pgbouncer` (`DATABASES_HOST`, `PGBOUNCER_POOL_MODE`) and
//! `bitnami/pgbouncer` (`POSTGRESQL_HOST`, `PGBOUNCER_DATABASE`).
//!
//! Source: the images' documentation and entry points.

use std::collections::BTreeMap;
use std::fmt;

use super::options;

/// Names and values.
pub type Variables = BTreeMap<String, String>;

/// An ini and a user list that say what the variables say.
#[derive(Clone, Default)]
pub struct FromVariables {
    pub ini: String,
    pub userlist: String,
}

/// `None`: no variable says where the database is.
pub fn ini_of(variables: &Variables) -> Option<FromVariables> {
    let url = variables.get("DATABASE_URL").and_then(|url| parse_url(url)).unwrap_or_default();
    let get = |names: &[&str]| {
        names.iter().find_map(|name| variables.get(*name)).filter(|text| !text.is_empty()).cloned()
    };
    let host = get(&["DB_HOST", "DATABASES_HOST", "POSTGRESQL_HOST"]).or(url.host)?;
    let port = get(&["DB_PORT", "DATABASES_PORT", "POSTGRESQL_PORT"]).or(url.port);
    let user = get(&["DB_USER", "DATABASES_USER", "POSTGRESQL_USERNAME"]).or(url.user);
    let password =
        get(&["DB_PASSWORD", "DATABASES_PASSWORD", "POSTGRESQL_PASSWORD"]).or(url.password);
    let name = get(&["DB_NAME", "DATABASES_DBNAME", "POSTGRESQL_DATABASE"]).or(url.database);
    let called = get(&["PGBOUNCER_DATABASE", "DATABASES_NAME"]).or(name.clone());
    let mut ini = String::from("[databases]\n");
    let called = called.unwrap_or_else(|| "*".to_owned());
    ini.push_str(&format!("{} = host={}", named(&called), quoted(&host)));
    let forced = get(&["DATABASES_USER"]);
    for (key, value) in [("port", &port), ("dbname", &name), ("user", &forced)] {
        if let Some(value) = value.as_ref().filter(|_| key != "dbname" || called != "*") {
            ini.push_str(&format!(" {key}={}", quoted(value)));
        }
    }
    if forced.is_some()
        && let Some(password) = &password
    {
        ini.push_str(&format!(" password={}", quoted(password)));
    }
    ini.push_str("\n\n[pgbouncer]\n");
    let mut said = BTreeMap::from([
        ("listen_addr", "*".to_owned()),
        ("listen_port", default_port(variables).to_owned()),
        ("unix_socket_dir", String::new()),
    ]);
    if let Some(user) = &user {
        said.insert("admin_users", user.clone());
    }
    for option in options::OPTIONS.iter().copied().flatten() {
        let upper = option.name.to_ascii_uppercase();
        if let Some(value) = get(&[&format!("PGBOUNCER_{upper}"), &upper]) {
            said.insert(option.name, value);
        }
    }
    // Bitnami's own words for some of them.
    for (variable, key) in BITNAMI {
        if let Some(value) = get(&[variable]) {
            said.insert(key, value);
        }
    }
    ini.extend(said.iter().map(|(key, value)| format!("{key} = {value}\n")));
    let entry = user.zip(password).map(|(user, password)| {
        format!("\"{}\" \"{}\"\n", user.replace('"', "\"\""), password.replace('"', "\"\""))
    });
    Some(FromVariables { ini, userlist: entry.unwrap_or_default() })
}

const BITNAMI: [(&str, &str); 3] = [
    ("PGBOUNCER_PORT", "listen_port"),
    ("PGBOUNCER_BIND_ADDRESS", "listen_addr"),
    ("PGBOUNCER_STATS_USERS", "stats_users"),
];

/// `edoburu/pgbouncer` listens on 5432, the others on 6432.
fn default_port(variables: &Variables) -> &'static str {
    let edoburu = ["DB_HOST", "DATABASE_URL"].iter().any(|name| variables.contains_key(*name));
    if edoburu { "5432" } else { "6432" }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn named(text: &str) -> String {
    if text == "*" { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

#[derive(Default)]
struct Url {
    host: Option<String>,
    port: Option<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
}

/// `postgres://user:password@host:port/database`.
fn parse_url(url: &str) -> Option<Url> {
    let (_, rest) = url.split_once("://")?;
    let (rest, _) = rest.split_once('?').unwrap_or((rest, ""));
    let (who, place) = rest.rsplit_once('@').map_or((None, rest), |(who, at)| (Some(who), at));
    let (place, database) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (place, None),
    };
    let (user, password) = match who.map(|who| who.split_once(':').unwrap_or((who, ""))) {
        Some((user, password)) => (Some(user), Some(password)),
        None => (None, None),
    };
    let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(decoded);
    Some(Url {
        host: text(Some(host.trim_matches(['[', ']']))),
        port: text(port),
        user: text(user),
        password: text(password),
        database: text(Some(database)),
    })
}

/// `%40` is `@`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = behind.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &behind[2..]).1,
            None => (bytes.push(*first), rest = behind).1,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// There are passwords in both.
impl fmt::Debug for FromVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
