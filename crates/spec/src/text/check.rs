//! `howdah check` and `howdah tune`: what is in force, and why.

use std::fmt::Write;

use howdah_base::NodeName;

use super::table::aligned;
use super::toml::to_toml;
use crate::effective::{Source, effective, tuned_only};
use crate::machine::Machine;
use crate::types::ClusterSpec;

/// Every value of the file with its defaults, then the parameters of `node`'s server with the
/// source of each.
pub fn check_text(spec: &ClusterSpec, node: &NodeName, machine: &Machine, major: u32) -> String {
    let mut text = aligned_values(&to_toml(spec));
    let rows: Vec<_> = effective(spec, node, machine, major)
        .into_iter()
        .map(|(name, one)| [name, one.value, one.source.to_string()])
        .collect();
    // Writing to a String cannot fail.
    let _ = write!(text, "\n# parameters of `{node}`, PostgreSQL {major}\n{}", aligned(&rows));
    text
}

/// The parameters that follow from the machine, with value and formula.
pub fn tune_text(spec: &ClusterSpec, machine: &Machine) -> String {
    let row = |(name, one): (String, crate::effective::Effective)| {
        let given = spec.postgresql.parameters.get(&name);
        let note = given.map(|value| format!(" (the file says {value})")).unwrap_or_default();
        let Source::Tuned(formula) = one.source else { return [name, one.value, note] };
        [name, one.value, format!("{formula}{note}")]
    };
    let rows: Vec<_> = tuned_only(spec, machine).into_iter().map(row).collect();
    aligned(&rows)
}

/// `key = value` lines with their values below each other, table by table.
fn aligned_values(file: &str) -> String {
    let mut text = String::new();
    for (index, table) in file.split("\n\n").enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let (header, lines): (Vec<_>, Vec<_>) =
            table.lines().partition(|line| line.starts_with('['));
        for line in header {
            text.push_str(line);
            text.push('\n');
        }
        let cells = lines.iter().filter_map(|line| line.split_once(" = "));
        let rows: Vec<_> = cells.map(|(key, value)| [key.to_owned(), value.to_owned()]).collect();
        text.push_str(&aligned(&rows));
    }
    text
}
