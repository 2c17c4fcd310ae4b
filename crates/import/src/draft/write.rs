//! The draft as text, and what each line of it is.

use std::collections::{BTreeMap, BTreeSet};

use super::key::Key;
use super::value::{Value, bare, quoted};
use super::{Claim, Draft};
use crate::finding::shown;

/// What a line of the text says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Line {
    Other,
    Key(Key),
    /// The head of a table.
    Table(Vec<String>),
    /// A rule of pg_hba, by its text.
    Rule(String),
}

/// The text of a cluster file, line by line.
pub(super) struct Written {
    pub(super) text: String,
    /// Of each line of `text`.
    pub(super) lines: Vec<Line>,
}

/// Places named in one comment; more would hide the value.
const PLACES_MAX: usize = 2;

/// Tables in the order of the reference; others follow.
const TABLES: [&str; 10] = [
    "nodes",
    "postgresql",
    "ha",
    "store",
    "endpoints",
    "http",
    "hooks",
    "vip",
    "roles",
    "databases",
];
/// Keys of a table in the order in which they are read; others follow by the alphabet.
const KEYS: [&str; 20] = [
    "cluster",
    "durability",
    "strict",
    "first_node",
    "run_as",
    "base_dir",
    "kind",
    "host",
    "listen",
    "postgres_port",
    "http_port",
    "data_dir",
    "major",
    "bin_dir",
    "locale",
    "managed",
    "endpoints",
    "on",
    "owner",
    "user",
];

pub(super) fn write(draft: &Draft) -> Written {
    let mut to = Written { text: String::new(), lines: Vec::new() };
    to.head(draft);
    let tables = tables(draft);
    for (path, claims) in &tables {
        if !path.is_empty() {
            to.line("", Line::Other);
            if path.first().is_some_and(|first| first == "nodes") && path.len() == 2 {
                to.hints(draft);
            }
            let head = path.iter().map(|part| bare(part)).collect::<Vec<_>>().join(".");
            let comment = claims.iter().find(|claim| claim.value == Value::Table);
            let comment = comment.map_or_else(String::new, |claim| comment_of(draft, claim));
            to.line(&format!("[{head}]{comment}"), Line::Table(path.clone()));
        }
        for claim in claims.iter().filter(|claim| claim.value != Value::Table) {
            let (name, comment) = (bare(claim.key.last()), comment_of(draft, claim));
            let line = format!("{name} = {}{comment}", claim.value);
            to.line(&line, Line::Key(claim.key.clone()));
        }
        if path.is_empty() {
            to.rules(draft);
        }
    }
    to
}

impl Written {
    fn line(&mut self, text: &str, what: Line) {
        self.text.push_str(text);
        self.text.push('\n');
        self.lines.push(what);
    }

    fn head(&mut self, draft: &Draft) {
        let files: BTreeSet<String> =
            draft.sources.iter().map(|source| shown(source.file())).collect();
        self.line(
            "# Made by `howdah import`; behind each value stands where it comes from. From",
            Line::Other,
        );
        for file in files {
            self.line(&format!("#   {file}"), Line::Other);
        }
        self.line("", Line::Other);
    }

    /// Once, above the first node.
    fn hints(&mut self, draft: &Draft) {
        let is_node = |line: &Line| matches!(line, Line::Table(path) if path.len() == 2);
        if !self.lines.iter().any(is_node) {
            for hint in &draft.hints {
                self.line(&format!("# {hint}"), Line::Other);
            }
        }
    }

    fn rules(&mut self, draft: &Draft) {
        let mut places: Vec<(&str, Vec<String>)> = Vec::new();
        for claim in draft.rules.iter().filter(|claim| claim.stands()) {
            let Value::Text(rule) = &claim.value else { continue };
            let place = claim.by.map_or_else(String::new, |leaf| draft.place(leaf));
            match places.iter_mut().find(|(known, _)| known == rule) {
                Some((_, places)) => places.push(place),
                None => places.push((rule, vec![place])),
            }
        }
        if places.is_empty() {
            return;
        }
        self.line("", Line::Other);
        self.line("hba = [", Line::Other);
        for (rule, places) in places {
            let line = format!("  {},{}", quoted(rule), comment(None, places));
            self.line(&line, Line::Rule(rule.to_owned()));
        }
        self.line("]", Line::Other);
    }
}

/// The claims that count, by table, in the order of the file.
fn tables(draft: &Draft) -> Vec<(Vec<String>, Vec<&Claim>)> {
    let mut tables: BTreeMap<Vec<String>, Vec<&Claim>> = BTreeMap::new();
    tables.entry(Vec::new()).or_default();
    for claim in draft.winners().into_values() {
        let table = if claim.value == Value::Table { claim.key.parts() } else { claim.key.table() };
        tables.entry(table.to_vec()).or_default().push(claim);
    }
    let mut tables: Vec<_> = tables.into_iter().collect();
    for (_, claims) in &mut tables {
        claims.sort_by_key(|claim| {
            let name = claim.key.last();
            (KEYS.iter().position(|key| *key == name).unwrap_or(KEYS.len()), name)
        });
    }
    let place = |path: &[String]| {
        let first = path.first().map(String::as_str).unwrap_or_default();
        let known = TABLES.iter().position(|table| *table == first);
        if path.is_empty() { 0 } else { known.unwrap_or(TABLES.len()) + 1 }
    };
    tables.sort_by(|(a, _), (b, _)| (place(a), a).cmp(&(place(b), b)));
    tables
}

fn comment_of(draft: &Draft, winner: &Claim) -> String {
    let same =
        |claim: &&Claim| claim.key == winner.key && claim.value == winner.value && claim.stands();
    let by = draft.claims.iter().filter(same).filter_map(|claim| claim.by);
    let note = winner.note.as_deref();
    comment(note, by.map(|leaf| draft.place(leaf)).collect())
}

fn comment(note: Option<&str>, mut places: Vec<String>) -> String {
    places.dedup();
    let more = places.len() > PLACES_MAX;
    places.truncate(PLACES_MAX);
    let mut places = places.join(", ");
    if more {
        places += " and others";
    }
    let said = match note {
        Some(note) if places.is_empty() => note.to_owned(),
        Some(note) => format!("{places}: {note}"),
        None => places,
    };
    if said.is_empty() { said } else { format!("  # {}", shown(&said)) }
}
