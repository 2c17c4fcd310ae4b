//! What is read: a text, its name, and what it is.

use std::fmt;

use crate::conf::lines::{self, Line};
use crate::yaml::{self, Node};

/// A file that was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Input {
    /// As messages and comments call it.
    pub file: String,
    pub text: String,
    /// What it is, where the operator says so.
    pub kind: Option<Kind>,
    /// What its `include` lines lead to.
    pub included: Vec<Included>,
}

/// What one `include` line of a postgresql.conf leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Included {
    /// The line, counted from 1.
    pub line: usize,
    /// The files, in the order of reading; or why they could not be read.
    pub files: Result<Vec<Input>, String>,
}

/// What an input is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    PostgresqlConf,
    /// What ALTER SYSTEM wrote.
    PostgresqlAutoConf,
    PgHba,
    PgIdent,
    Patroni,
    /// What `patronictl show-config` prints.
    PatroniDynamic,
    /// Kubernetes manifests with CloudNativePG's among them.
    CloudNativePg,
    Compose,
    /// `NAME=value` lines.
    Env,
    PgBouncer,
}

impl Kind {
    /// The words of `--kind`.
    pub const WORDS: [(&str, Kind); 10] = [
        ("postgresql.conf", Kind::PostgresqlConf),
        ("postgresql.auto.conf", Kind::PostgresqlAutoConf),
        ("pg_hba.conf", Kind::PgHba),
        ("pg_ident.conf", Kind::PgIdent),
        ("patroni", Kind::Patroni),
        ("patroni-dynamic", Kind::PatroniDynamic),
        ("cloudnative-pg", Kind::CloudNativePg),
        ("compose", Kind::Compose),
        ("env", Kind::Env),
        ("pgbouncer.ini", Kind::PgBouncer),
    ];

    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    pub(crate) fn is_yaml(self) -> bool {
        use Kind::{CloudNativePg, Compose, Patroni, PatroniDynamic};
        matches!(self, Patroni | PatroniDynamic | CloudNativePg | Compose)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What `input` is, by its content; by its name where the content says nothing.
pub(crate) fn recognise(input: &Input) -> Option<Kind> {
    let text = input.text.as_str();
    input
        .kind
        .or_else(|| by_header(text))
        .or_else(|| by_yaml(text))
        .or_else(|| by_lines(text))
        .or_else(|| by_name(&input.file))
}

fn by_header(text: &str) -> Option<Kind> {
    if text.lines().any(|line| matches!(line.trim(), "[pgbouncer]" | "[databases]")) {
        return Some(Kind::PgBouncer);
    }
    let head = text.lines().take(5).collect::<Vec<_>>().join(" ");
    head.contains("by the ALTER SYSTEM command").then_some(Kind::PostgresqlAutoConf)
}

fn by_yaml(text: &str) -> Option<Kind> {
    let documents = yaml::documents(text).ok()?;
    if documents.iter().any(|node| node.get("apiVersion").is_some() && node.get("kind").is_some()) {
        return Some(Kind::CloudNativePg);
    }
    let node = documents.first().filter(|node| node.is_map())?;
    let has = |keys: &[&str]| keys.iter().any(|key| node.get(key).is_some());
    let part = |key: &str| node.get(key).is_some_and(Node::is_map);
    if part("services") {
        return Some(Kind::Compose);
    }
    if has(&["scope", "restapi", "bootstrap"]) || (has(&["name"]) && part("postgresql")) {
        return Some(Kind::Patroni);
    }
    if has(&["ttl", "loop_wait", "maximum_lag_on_failover", "synchronous_mode"]) {
        return Some(Kind::PatroniDynamic);
    }
    // One section alone: a shared part of Patroni's configuration, or a cut-out of a compose file.
    if part("postgresql") {
        return Some(Kind::Patroni);
    }
    let services = node.entries().iter().map(|entry| &entry.node);
    services.clone().any(|node| node.get("environment").is_some()).then_some(Kind::Compose)
}

/// Most lines decide, not one that was mistyped; a text of another kind has most lines garbled.
fn by_lines(text: &str) -> Option<Kind> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let lines = lines.iter().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut counts =
        [(0, Kind::PgHba), (0, Kind::Env), (0, Kind::PgIdent), (0, Kind::PostgresqlConf)];
    let mut all = 0;
    for line in lines {
        all += 1;
        let is = [is_rule(line), is_variable(line), is_map(line), is_setting(line)];
        if let Some(place) = is.iter().position(|is| *is)
            && let Some((count, _)) = counts.get_mut(place)
        {
            *count += 1;
        }
    }
    let (count, kind) = counts.into_iter().rev().max_by_key(|(count, _)| *count)?;
    (count > 0 && count * 2 >= all).then_some(kind)
}

fn is_rule(line: &str) -> bool {
    let types = ["local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"];
    let mut words = line.split_whitespace();
    words.next().is_some_and(|word| types.contains(&word)) && words.count() >= 3
}

/// Names of variables are in capitals, and the equals sign has no blanks around it.
fn is_variable(line: &str) -> bool {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let Some((name, value)) = line.split_once('=') else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let capital = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
    capital && name.chars().all(plain) && !value.starts_with(' ')
}

/// `MAP SYSTEM-USER PG-USER`.
fn is_map(line: &str) -> bool {
    !line.contains('=') && line.split_whitespace().count() == 3 && !is_setting(line)
}

fn is_setting(line: &str) -> bool {
    matches!(lines::line(line), Line::Setting { .. } | Line::Include { .. })
}

fn by_name(file: &str) -> Option<Kind> {
    let name = file.rsplit('/').next().unwrap_or(file).to_ascii_lowercase();
    let kinds = [Kind::PostgresqlAutoConf, Kind::PostgresqlConf, Kind::PgHba, Kind::PgIdent];
    kinds.into_iter().find(|kind| name.starts_with(kind.word()))
}
