//! From the text of `howdah.toml` to a [`ClusterSpec`], or to everything that is wrong with it.
//!
//! Three steps: TOML itself ([`toml`]), each key by itself ([`reader`] and the files named
//! after the sections), what does not go together ([`combine`]). A later step goes on with
//! defaults where an earlier one found something wrong, so that one run reports all.

mod backup;
mod combine;
mod drill;
mod etcd;
mod hooks;
mod members;
mod nodes;
mod pools;
mod reader;
mod report;
mod schedule;
mod sections;

pub(crate) mod keys;

use std::path::{Component, Path, PathBuf};

use howdah_base::ClusterName;
use toml::de::DeTable;

use crate::hba::HbaRule;
use crate::mistake::Mistakes;
use crate::types::{ClusterSpec, Durability};

pub(crate) use members::KINDS;
pub use nodes::same_machine;
pub use report::Places;
pub(crate) use sections::MAJOR_MIN;

use reader::{Table, Value};
use report::Report;

/// pg_hba rules of a file that has none: passwords from this machine, nobody from elsewhere.
const HBA_DEFAULT: [&str; 2] =
    ["host all all 127.0.0.1/32 scram-sha-256", "host all all ::1/128 scram-sha-256"];

/// What the file does not say about its surroundings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Context {
    /// Without `base_dir`, the cluster lies in `<default_base>/<cluster>`.
    pub default_base: PathBuf,
    /// The folder of the file: its relative paths count from here.
    pub relative_to: PathBuf,
}

/// A valid cluster file, and where it says what.
#[derive(Clone, PartialEq, Debug)]
pub struct Parsed {
    pub spec: ClusterSpec,
    pub places: Places,
}

/// Reads a cluster file. `file` is its name for messages.
pub fn parse(file: &str, text: &str, context: &Context) -> Result<ClusterSpec, Mistakes> {
    parse_with_places(file, text, context).map(|parsed| parsed.spec)
}

/// Reads a cluster file and remembers the lines, for checks that come later.
pub fn parse_with_places(file: &str, text: &str, context: &Context) -> Result<Parsed, Mistakes> {
    let (parsed, mistakes) = parse_leniently(file, text, context);
    if mistakes.0.is_empty() { Ok(parsed) } else { Err(mistakes) }
}

/// Reads what can be read of a cluster file, with defaults where something is wrong: so that a
/// check which comes later reports its mistakes in the same run. Not for starting anything.
pub fn parse_leniently(file: &str, text: &str, context: &Context) -> (Parsed, Mistakes) {
    let report = Report::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        say_garbled(&report, text, error);
    }
    let top = Table::closed(&report, "", table.get_ref(), &keys::TOP);
    let spec = read_cluster(&report, &top, context, errors.is_empty());
    combine::check(&report, &spec);
    let (places, mistakes) = report.finish();
    (Parsed { spec, places }, mistakes)
}

/// The text itself is shown only where it is a key: elsewhere it may be a secret.
fn say_garbled(report: &Report<'_>, text: &str, error: &toml::de::Error) {
    let span = error.span().unwrap_or_default();
    let line = report.line_of(&span);
    if error.message().starts_with("duplicate key") {
        let key = text.get(span).unwrap_or_default();
        report.garbled(line, format!("the key stands twice: `{key}`"), "drop one of them");
        return;
    }
    let what = format!("not TOML: {}", error.message().replace('\n', ", "));
    report.garbled(line, what, "see https://toml.io for how to write it");
}

fn read_cluster(
    report: &Report<'_>,
    top: &Table<'_>,
    context: &Context,
    complete: bool,
) -> ClusterSpec {
    let cluster = read_name(top).unwrap_or_else(|| {
        if complete && !report.names("cluster") {
            let hint = "add a line such as `cluster = \"demo\"`".to_owned();
            report.wrong("cluster", 1, "the cluster has no name: `cluster`".to_owned(), hint);
        }
        nameless()
    });
    let default_base = context.default_base.join(cluster.as_str());
    let paths = Paths { relative_to: &context.relative_to };
    let base_dir = paths.read(top, "base_dir").unwrap_or(default_base);
    let endpoints = sections::read_endpoints(top);
    ClusterSpec {
        durability: read_durability(top).unwrap_or(Durability::Quorum),
        strict: top.flag("strict").unwrap_or(false),
        first_node: top
            .get("first_node")
            .and_then(|value| value.parsed("a node's name", "write the name of a node")),
        run_as: top.text("run_as").unwrap_or_else(|| "postgres".to_owned()),
        nodes: nodes::read(report, top, &paths, &base_dir, complete),
        postgresql: sections::read_postgresql(top, &paths),
        ha: sections::read_ha(top, &paths),
        store: sections::read_store(top, &paths, &base_dir, &cluster),
        pools: pools::read(top, endpoints.connect_wait),
        endpoints,
        hba: read_hba(top),
        http: hooks::read_http(top, &base_dir),
        hooks: hooks::read(top),
        vip: hooks::read_vip(top),
        backup: backup::read(top, &paths, &base_dir),
        roles: members::read_roles(top, &base_dir),
        databases: members::read_databases(top),
        cluster,
        base_dir,
    }
}

fn read_name(top: &Table<'_>) -> Option<ClusterName> {
    let hint = "a name starts with a lower-case letter and has at most 30 lower-case letters, \
                digits and `-`";
    top.get("cluster")?.parsed("a name", hint)
}

/// Stands in for a name that is missing or wrong, which has been reported.
fn nameless() -> ClusterName {
    #[expect(clippy::unwrap_used, reason = "a constant that is a name")]
    "nameless".parse().unwrap()
}

fn read_durability(top: &Table<'_>) -> Option<Durability> {
    choice(top.get("durability")?, &[("quorum", Durability::Quorum), ("async", Durability::Async)])
}

fn read_hba(top: &Table<'_>) -> Vec<HbaRule> {
    let Some(lines) = top.get("hba") else {
        return HBA_DEFAULT.iter().filter_map(|line| HbaRule::parse(line).ok()).collect();
    };
    let read = |line: &Value<'_>| {
        let form = "write it as in pg_hba.conf: `hostssl app app 10.0.0.0/8 scram-sha-256`";
        let rule = HbaRule::parse(&line.text()?);
        rule.map_err(|bad| line.wrong(bad.message, bad.hint.unwrap_or(form))).ok()
    };
    lines.list().iter().filter_map(read).collect()
}

/// One of a few words.
fn choice<T: Copy>(value: &Value<'_>, words: &[(&str, T)]) -> Option<T> {
    let text = value.text()?;
    let found = words.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let names: Vec<_> = words.iter().map(|(name, _)| format!("`\"{name}\"`")).collect();
        let hint = format!("write one of {}", names.join(", "));
        value.wrong(format!("`{}` cannot be `\"{text}\"`", value.path), hint);
    }
    found.map(|(_, choice)| *choice)
}

/// Makes the file's relative paths absolute.
struct Paths<'c> {
    relative_to: &'c Path,
}

impl Paths<'_> {
    fn read(&self, table: &Table<'_>, key: &str) -> Option<PathBuf> {
        let value = table.get(key)?;
        let text = value.text()?;
        if text.is_empty() {
            value.wrong(format!("`{}` is empty", value.path), "write a path, or drop the line");
            return None;
        }
        Some(self.absolute(text.into()))
    }

    fn absolute(&self, path: PathBuf) -> PathBuf {
        tidy(&self.relative_to.join(path))
    }
}

/// The path without `.` and `..`, so that two ways to write one directory compare equal.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}
