//! Parameters bound to a role or a database: how two values compare, and what to change.
//!
//! PostgreSQL keeps the text that it was given, except for lists of names: of those it keeps
//! its own spelling, and a single literal `'a, b'` would be one name with a comma in it
//! (`GUC_LIST_QUOTE`, src/backend/utils/misc/guc.c, as pg_dump handles it).

use std::collections::BTreeMap;

use super::change::Change;
use super::sql;

/// What turns the settings of `subject` (such as `ROLE "app"`) into the wanted ones.
pub(super) fn changes(
    subject: &str,
    current: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Vec<Change> {
    let wanted: BTreeMap<String, &String> =
        wanted.iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    let surplus = current.keys().filter(|name| !wanted.contains_key(*name));
    let reset = surplus
        .map(|name| Change::reset(format!("ALTER {subject} RESET {}", sql::parameter(name))));
    let differing = wanted.iter().filter(|(name, value)| {
        current.get(*name).is_none_or(|now| elements(name, now) != elements(name, value))
    });
    let set = differing.map(|(name, value)| {
        let values: Vec<_> = elements(name, value).iter().map(|e| sql::literal(e)).collect();
        format!("ALTER {subject} SET {} TO {}", sql::parameter(name), values.join(", "))
    });
    reset.chain(set.map(Change::new)).collect()
}

/// The names of a list, or the one value of any other parameter.
fn elements(parameter: &str, value: &str) -> Vec<String> {
    if LISTS_OF_NAMES.contains(&parameter) { names(value) } else { vec![value.to_owned()] }
}

/// Names separated by commas: in double quotes as they are, else in lower case.
fn names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_name(quoted),
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim().to_lowercase(), &rest[end..])
            }
        };
        names.push(name);
        match after.trim_start().strip_prefix(',') {
            Some(next) => rest = next.trim(),
            None => return names,
        }
    }
}

/// The name up to its closing quote, and what follows.
fn quoted_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            name.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return (name, &text[at + 1..]);
        }
    }
    (name, "")
}

const LISTS_OF_NAMES: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_a_setting_back_is_marked() {
        let map = |name: &str| BTreeMap::from([(name.to_owned(), "1".to_owned())]);
        let changes = changes("ROLE \"app\"", &map("work_mem"), &map("jit"));
        let told: Vec<_> = changes.iter().map(|c| (c.shown.as_str(), c.resets)).collect();
        let (reset, set) =
            ("ALTER ROLE \"app\" RESET \"work_mem\"", "ALTER ROLE \"app\" SET \"jit\" TO '1'");
        assert_eq!(told, [(reset, true), (set, false)]);
    }

    #[test]
    fn lists_of_names_are_read_as_postgresql_reads_them() {
        assert_eq!(names("app, public"), ["app", "public"]);
        assert_eq!(names("\"$user\",Public"), ["$user", "public"]);
        assert_eq!(names("\"a,\"\"b\" , c"), ["a,\"b", "c"]);
        assert_eq!(names(""), [""]);
        assert_eq!(names("\"\""), [""]);
        assert_eq!(names("\"open"), ["open"]);
    }
}
