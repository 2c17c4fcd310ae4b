//! Two texts, line by line: what goes and what comes, each below its table's header.
//!
//! Only for files that [`howdah_spec::to_toml`] wrote: there, a key stands once in its table,
//! so that tables and keys can be compared by name and their order says nothing.

use std::collections::{BTreeMap, BTreeSet};

/// `- old` and `+ new` lines; empty when nothing differs.
pub fn diff(old: &str, new: &str) -> String {
    let (old, new) = (tables(old), tables(new));
    let mut names: Vec<&str> = old.keys().chain(new.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| diff_table(name, old.get(name), new.get(name))).collect()
}

/// The same for any two texts, without tables.
pub fn lines(old: &str, new: &str) -> String {
    diff_table("", Some(&old.lines().collect()), Some(&new.lines().collect()))
}

/// The places that a difference is about: header and key. A header that comes or goes is one
/// with an empty key.
pub fn keys(changes: &str) -> BTreeSet<(String, String)> {
    parts(changes).map(|(header, key, _)| (header.to_owned(), key.to_owned())).collect()
}

/// The lines of a difference that are about `places`, below their headers.
pub fn only(changes: &str, places: &BTreeSet<(String, String)>) -> String {
    let mut text = String::new();
    let mut shown = "";
    for (header, key, line) in parts(changes) {
        if !places.contains(&(header.to_owned(), key.to_owned())) {
            continue;
        }
        if !key.is_empty() && !header.is_empty() && shown != header {
            text += &format!("  {header}\n");
        }
        shown = header;
        text += &format!("{line}\n");
    }
    text
}

/// Header, key and line of each line that says of a change.
fn parts(changes: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut header = "";
    changes.lines().filter_map(move |line| {
        let (sign, words) = line.split_at_checked(2)?;
        if words.starts_with('[') {
            header = words;
            return (sign != "  ").then_some((header, "", line));
        }
        let key = words.split_once(" = ").map_or(words, |(key, _)| key);
        Some((header, key, line))
    })
}

type Lines<'t> = Vec<&'t str>;

/// The lines of each table, by header.
fn tables(text: &str) -> BTreeMap<&str, Lines<'_>> {
    let mut tables: BTreeMap<&str, Lines<'_>> = BTreeMap::new();
    let mut header = "";
    for line in text.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('[') {
            header = line;
            tables.entry(header).or_default();
        } else {
            tables.entry(header).or_default().push(line);
        }
    }
    tables
}

fn diff_table(header: &str, old: Option<&Lines<'_>>, new: Option<&Lines<'_>>) -> String {
    let none = Vec::new();
    let (before, after) = (old.unwrap_or(&none), new.unwrap_or(&none));
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}\n"));
    let come = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}\n"));
    let lines: String = gone.chain(come).collect();
    let sign = match (old, new) {
        (Some(_), None) => "- ",
        (None, Some(_)) => "+ ",
        _ if lines.is_empty() => return String::new(),
        _ => "  ",
    };
    if header.is_empty() { lines } else { format!("{sign}{header}\n{lines}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_its_table() {
        let old = "cluster = \"a\"\nstrict = false\n\n[ha]\nlease = \"10s\"\n\n[roles.x]\nkind = \"app\"\n";
        let new = "cluster = \"a\"\nstrict = true\n\n[ha]\nlease = \"10s\"\n\n[roles.y]\n";
        let wanted =
            "- strict = false\n+ strict = true\n- [roles.x]\n- kind = \"app\"\n+ [roles.y]\n";
        assert_eq!(diff(old, new), wanted);
        assert_eq!(diff(old, old), "");
    }
}
