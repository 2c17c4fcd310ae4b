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
    /// Lines of the ini, counted from 1, and the variable that each is of.
    pub places: BTreeMap<usize, String>,
    /// Variables that look like PgBouncer's and are none.
    pub unknown: Vec<String>,
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
    let mut by = BTreeMap::new();
    let names = options::OPTIONS.iter().copied().flatten().flat_map(|option| {
        let upper = option.name.to_ascii_uppercase();
        [(upper.clone(), option.name), (format!("PGBOUNCER_{upper}"), option.name)]
    });
    // Bitnami's own words for some of them.
    let bitnami = BITNAMI.map(|(variable, key)| (variable.to_owned(), key));
    for (variable, key) in names.chain(bitnami) {
        if let Some(value) = get(&[&variable]).filter(|value| !is_link(&variable, value)) {
            said.insert(key, value);
            by.insert(key, variable);
        }
    }
    let place = ["DB_PORT", "DATABASES_PORT", "POSTGRESQL_PORT", "DATABASE_URL"].into_iter();
    let place = place.chain(["DB_HOST", "DATABASES_HOST", "POSTGRESQL_HOST"]);
    let place = place.into_iter().find(|name| get(&[name]).is_some()).unwrap_or_default();
    let mut places = BTreeMap::from([(DATABASE_LINE, place.to_owned())]);
    for (key, value) in &said {
        let line = ini.matches('\n').count() + 1;
        places.extend(by.get(key).map(|variable| (line, variable.clone())));
        ini.push_str(&format!("{key} = {value}\n"));
    }
    let entry = user.zip(password).map(|(user, password)| {
        format!("\"{}\" \"{}\"\n", user.replace('"', "\"\""), password.replace('"', "\"\""))
    });
    Some(FromVariables {
        ini,
        userlist: entry.unwrap_or_default(),
        places,
        unknown: unknown(variables),
    })
}

/// Where the database stands.
const DATABASE_LINE: usize = 2;

/// What looks like PgBouncer's and says nothing here.
fn unknown(variables: &Variables) -> Vec<String> {
    let known = |name: &str| {
        let key = name.trim_start_matches("PGBOUNCER_").to_ascii_lowercase();
        key == "database"
            || options::find(&key).is_some()
            || BITNAMI.iter().any(|(variable, _)| *variable == name)
    };
    let said = variables.iter().filter(|(name, value)| {
        name.starts_with("PGBOUNCER_") && !value.is_empty() && !is_link(name, value)
    });
    said.map(|(name, _)| name).filter(|name| !known(name)).cloned().collect()
}

/// Kubernetes tells each container of a service `pgbouncer` in such variables; none is anybody's
/// word to the pooler.
fn is_link(name: &str, value: &str) -> bool {
    name.starts_with("PGBOUNCER_PORT_")
        || name.starts_with("PGBOUNCER_SERVICE_HOST")
        || name.starts_with("PGBOUNCER_SERVICE_PORT")
        || name == "PGBOUNCER_PORT" && value.contains("://")
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
