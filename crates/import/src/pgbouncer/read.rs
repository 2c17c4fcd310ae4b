//! An ini as a whole: every line of it is followed, or named in a warning, or a mistake. All
//! mistakes at once.

use std::collections::BTreeMap;

use super::lines::{Line, Says, lines};
use super::options::{self, Takes};
use super::settings::Settings;
use super::{databases, users};

/// What a file has come to.
#[derive(Clone, Debug)]
pub struct Read {
    pub settings: Settings,
    /// Of keys that are not followed: where, which, why, what to do.
    pub warnings: Vec<String>,
    /// Of lines that cannot be: where, what is wrong, and the value.
    pub mistakes: Vec<String>,
}

/// Files that include each other, at any depth.
const INCLUDED_MAX: usize = 100;

/// Reads a text and what it includes; `file` gives the text of another, or says why not.
pub fn read(name: &str, text: &str, file: &mut dyn FnMut(&str) -> Result<String, String>) -> Read {
    read_and_set(name, text, &BTreeMap::new(), file)
}

/// The same, with values that were set since and stand in no file.
pub fn read_and_set(
    name: &str,
    text: &str,
    set: &BTreeMap<String, String>,
    file: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Read {
    let mut reading = Reading {
        read: Read { settings: Settings::default(), warnings: Vec::new(), mistakes: Vec::new() },
        file,
        left: INCLUDED_MAX,
    };
    reading.text(name, text);
    let mut read = reading.read;
    for (name, value) in set {
        match pooler(&mut read.settings, name, value) {
            Ok(notes) => read.warnings.extend(notes),
            Err(why) => read.mistakes.push(why),
        }
    }
    missing(&mut read);
    read
}

struct Reading<'a> {
    read: Read,
    file: &'a mut dyn FnMut(&str) -> Result<String, String>,
    left: usize,
}

impl Reading<'_> {
    fn text(&mut self, name: &str, text: &str) {
        for line in lines(name, text) {
            let place = line.place.clone();
            if let Err(why) = self.line(line) {
                self.read.mistakes.push(format!("{place}: {why}"));
            }
        }
    }

    fn line(&mut self, line: Line) -> Result<(), String> {
        let Line { place, section, says, .. } = line;
        let (name, value) = match says {
            Says::Key(name, value) => (name, value),
            Says::Include(path) => return self.include(&path),
            Says::Nothing => return Err("not name = value".to_owned()),
        };
        let settings = &mut self.read.settings;
        let notes = match section.as_str() {
            "pgbouncer" => pooler(settings, &name, &value)?,
            "databases" => {
                let said = databases::database(&value);
                let (database, notes) = said.map_err(|why| format!("database {name}, {why}"))?;
                match name.as_str() {
                    "*" => settings.fallback = Some(database),
                    "pgbouncer" => return Err("that name is the console's".to_owned()),
                    _ => drop(settings.databases.insert(name.clone(), database)),
                }
                notes
            }
            "users" => {
                let said = users::user(&value);
                let (own, notes) = said.map_err(|why| format!("user {name}, {why}"))?;
                settings.users.insert(name.clone(), own);
                notes
            }
            "peers" => vec![PEER.to_owned()],
            "" => return Err(format!("it stands before any section: `{name}`")),
            _ => return Err(format!("not a section of PgBouncer's: `{section}`")),
        };
        let of = if section == "pgbouncer" { String::new() } else { format!("{section} {name}: ") };
        self.read.warnings.extend(notes.iter().map(|note| format!("{place}: {of}{note}")));
        Ok(())
    }

    fn include(&mut self, path: &str) -> Result<(), String> {
        self.left = self.left.checked_sub(1).ok_or("too many files are included")?;
        let text = (self.file)(path)?;
        self.text(path, &text);
        Ok(())
    }
}

fn pooler(settings: &mut Settings, name: &str, value: &str) -> Result<Vec<String>, String> {
    let Some(option) = options::find(name) else {
        return Err(format!("not a key of PgBouncer's: `{name}`"));
    };
    if name == "idle_timeout" {
        let note = "`idle_timeout`: PgBouncer has no such key; taken for `server_idle_timeout`";
        return sets(option.takes, settings, name, value).map(|()| vec![note.to_owned()]);
    }
    match option.takes {
        takes @ Takes::Sets(_) => sets(takes, settings, name, value).map(|()| Vec::new()),
        Takes::Not(_) if value == option.default => Ok(Vec::new()),
        Takes::Not(why) => Ok(vec![format!("`{name}`: {why}")]),
    }
}

fn sets(takes: Takes, settings: &mut Settings, name: &str, value: &str) -> Result<(), String> {
    let Takes::Sets(set) = takes else { return Ok(()) };
    set(settings, value).map_err(|why| format!("{name} is {why}: `{value}`"))?;
    let key = if name == "idle_timeout" { "server_idle_timeout" } else { name };
    settings.said.extend(options::find(key).map(|option| (option.name, value.to_owned())));
    Ok(())
}

/// What must be there together.
fn missing(read: &mut Read) {
    let Settings { client_tls, server_tls, auth, databases, fallback, .. } = &read.settings;
    let mut lacks = Vec::new();
    use super::settings::{AuthType, SslMode};
    if client_tls.mode != SslMode::Disable
        && (client_tls.key.is_none() || client_tls.certificate.is_none())
    {
        lacks.push("`client_tls_sslmode` needs `client_tls_key_file` and `client_tls_cert_file`");
    }
    if client_tls.mode >= SslMode::VerifyCa && client_tls.ca.is_none() {
        lacks.push("`client_tls_sslmode` needs `client_tls_ca_file`");
    }
    if server_tls.mode >= SslMode::VerifyCa && server_tls.ca.is_none() {
        lacks.push("`server_tls_sslmode` needs `server_tls_ca_file`");
    }
    if server_tls.key.is_some() != server_tls.certificate.is_some() {
        lacks.push("`server_tls_key_file` and `server_tls_cert_file` need each other");
    }
    if auth.kind == AuthType::Hba && auth.hba_file.is_none() {
        lacks.push("`auth_type = hba` needs `auth_hba_file`");
    }
    if auth.kind == AuthType::Cert && client_tls.mode < SslMode::VerifyCa {
        lacks.push("`auth_type = cert` needs `client_tls_sslmode = verify-ca` or `verify-full`");
    }
    if databases.is_empty() && fallback.is_none() {
        lacks.push("`[databases]` names none");
    }
    read.mistakes.extend(lacks.into_iter().map(str::to_owned));
}

const PEER: &str = "one process serves all cores (`--threads N`), and a cancel request finds its \
                    client in it; run one";
