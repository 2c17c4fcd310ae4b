//! Files and variables, read into what a pooler is told. All mistakes of all files at once.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use howdah_base::Redacted;
use howdah_import::pgbouncer::{
    ListenAddr, OPTIONS, Opt, Read, Settings, Takes, ini_of, read_and_set, userlist,
};
use howdah_proxy::alone::{self, Listens, UnixPlace};
use howdah_spec::hba::HbaRule;
use nix::unistd::Group;

use super::{Source, files, map, tls};
use crate::failure::{Failure, why};

/// What the files come to.
pub struct Loaded {
    pub settings: Arc<alone::Settings>,
    pub listens: Listens,
    /// Whom the process becomes.
    pub user: Option<String>,
    pub pid: Option<PathBuf>,
    /// Values of the keys that count at a start only.
    pub start: BTreeMap<&'static str, String>,
    pub warnings: Vec<String>,
}

/// More is not a configuration.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Texts of the ini, of what it includes, and of the rules, as they were read: with SET nothing
/// else of them comes into force.
#[derive(Default)]
pub struct Texts(BTreeMap<PathBuf, String>);

impl Texts {
    fn of(&mut self, path: &Path) -> Result<String, String> {
        if let Some(known) = self.0.get(path) {
            return Ok(known.clone());
        }
        let text = text(path)?;
        self.0.insert(path.to_owned(), text.clone());
        Ok(text)
    }
}

/// Reads everything. `set`: what an operator has set since.
pub fn load(
    source: &Source,
    set: &BTreeMap<String, String>,
    texts: &mut Texts,
) -> anyhow::Result<Loaded> {
    let (read, listed) = match source {
        Source::File(path) => {
            let name = path.display().to_string();
            let text = texts.of(path);
            let text =
                text.map_err(|error| Failure::bad_input(error).hint("howdah pgbouncer FILE.ini"))?;
            let read = read_and_set(&name, &text, set, &mut |path| texts.of(Path::new(path)));
            (read, String::new())
        }
        Source::Environment(variables) => {
            let said = ini_of(variables).unwrap_or_default();
            let file = &mut |path: &str| texts.of(Path::new(path));
            let mut read = read_and_set("environment", &said.ini, set, file);
            for line in read.mistakes.iter_mut().chain(&mut read.warnings) {
                *line = of_variable(line, &said.places);
            }
            let unknown = said.unknown.iter();
            let unknown = unknown.map(|name| format!("not a variable that counts: `{name}`"));
            read.warnings.extend(unknown);
            (read, said.userlist)
        }
    };
    let Read { settings, mut warnings, mut mistakes } = read;
    let users = users(&settings, listed, &mut mistakes);
    let rules = rules(&settings, texts, &mut mistakes);
    let tls = tls::load(&settings, &mut mistakes);
    let listens = listens(&settings, &mut mistakes);
    warnings.extend(files::too_few(&settings));
    if settings.times.wait.is_none() {
        warnings.push("`query_wait_timeout = 0`: clients wait a day at most".to_owned());
    }
    let (Some(tls), Some(listens), true) = (tls, listens, mistakes.is_empty()) else {
        let hint = "PgBouncer's manual, pgbouncer.ini(5), has every key; docs/pgbouncer.md says what \
                    becomes of each";
        return Err(Failure::bad_input(mistakes.join("\n")).hint(hint).into());
    };
    Ok(Loaded {
        user: settings.files.user.clone(),
        pid: settings.files.pid.as_ref().map(PathBuf::from),
        start: start(&settings),
        settings: Arc::new(map::settings(&settings, users, rules, tls)),
        listens,
        warnings,
    })
}

/// A line of what the variables come to is called by its variable.
fn of_variable(said: &str, places: &BTreeMap<usize, String>) -> String {
    let told = said.strip_prefix("environment:").and_then(|rest| rest.split_once(": "));
    let told = told.and_then(|(line, what)| Some((places.get(&line.parse().ok()?)?, what)));
    told.map_or_else(|| said.to_owned(), |(variable, what)| format!("{variable}: {what}"))
}

fn start(settings: &Settings) -> BTreeMap<&'static str, String> {
    let keys = OPTIONS.iter().copied().flatten();
    let keys = keys.filter(|option| !option.reloads && matches!(option.takes, Takes::Sets(_)));
    let value = |option: &Opt| settings.said.get(option.name).map_or(option.default, |said| said);
    keys.map(|option| (option.name, value(option).to_owned())).collect()
}

/// The text of a file, or why there is none.
fn text(path: &Path) -> Result<String, String> {
    let cannot = |error| format!("cannot read the file, {}: `{}`", why(&error), path.display());
    let about = fs::metadata(path).map_err(cannot)?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(format!("not a file of at most 16 MB: `{}`", path.display()));
    }
    fs::read(path).map_err(cannot).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn users(
    settings: &Settings,
    mut listed: String,
    mistakes: &mut Vec<String>,
) -> Vec<(String, Redacted<String>)> {
    let mut name = "environment";
    if let Some(file) = &settings.auth.file {
        name = file;
        match text(Path::new(file)) {
            Ok(text) => listed.push_str(&text),
            Err(error) => mistakes.push(format!("auth_file: {error}")),
        }
    }
    let (users, bad) = userlist(&listed);
    // What stands in such a line may be a password.
    let bad = bad.iter().map(|line| format!("{name}:{line}: not `\"name\" \"password\"`"));
    mistakes.extend(bad);
    users
}

fn rules(settings: &Settings, texts: &mut Texts, mistakes: &mut Vec<String>) -> Vec<HbaRule> {
    let Some(file) = &settings.auth.hba_file else { return Vec::new() };
    let text = match texts.of(Path::new(file)) {
        Ok(text) => text,
        Err(error) => {
            mistakes.push(format!("auth_hba_file: {error}"));
            return Vec::new();
        }
    };
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let read = lines.map(|(number, line)| (number, HbaRule::parse_trusting(line)));
    let mut rules = Vec::new();
    for (number, rule) in read {
        match rule {
            Ok(rule) => rules.push(rule),
            Err(error) => mistakes.push(format!("{file}:{number}: {error}")),
        }
    }
    rules
}

fn listens(settings: &Settings, mistakes: &mut Vec<String>) -> Option<Listens> {
    let listen = &settings.listen;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in &listen.addresses {
        match address {
            ListenAddr::All => addresses.extend([
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), listen.port),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), listen.port),
            ]),
            ListenAddr::Ip(ip) => addresses.push(SocketAddr::new(*ip, listen.port)),
            ListenAddr::Name(name) => match (name.as_str(), listen.port).to_socket_addrs() {
                Ok(found) => addresses.extend(found),
                Err(error) => mistakes.push(format!("listen_addr, {}: `{name}`", why(&error))),
            },
        }
    }
    let group = match listen.unix_group.as_str() {
        "" => None,
        name => match (name.parse(), Group::from_name(name)) {
            (Ok(number), _) => Some(number),
            (_, Ok(Some(group))) => Some(group.gid.as_raw()),
            _ => {
                mistakes.push(format!("unix_socket_group, no such group: `{name}`"));
                None
            }
        },
    };
    let unix = (!listen.unix_dir.is_empty()).then(|| UnixPlace {
        directory: PathBuf::from(&listen.unix_dir),
        port: listen.port,
        mode: listen.unix_mode,
        group,
    });
    if addresses.is_empty() && unix.is_none() && mistakes.is_empty() {
        mistakes.push("`listen_addr` and `unix_socket_dir` are both empty".to_owned());
        return None;
    }
    Some(Listens { addresses, unix, backlog: listen.backlog, reuse_port: listen.reuse_port })
}
