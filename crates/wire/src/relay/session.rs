//! What a session has of its own, read from its server and not guessed: the values of settings,
//! which go along with the client to its next server, and what cannot go along and keeps the client
//! at this one.
//!
//! ```text
//! transaction that may leave something ─► check() behind it, its answer nobody's ─► Found
//! another client comes to the server   ─► replay(): from what is set there to what it has set
//! ```
//! `SET LOCAL`, ROLLBACK and functions that set something come out right without a parser. A
//! setting that nobody but a superuser may see is not found.
//!
//! Source: PostgreSQL documentation, "pg_settings" (`source`), "System Administration Functions"
//! (`set_config`, whose NULL is RESET: `set_config_by_name` in `src/backend/utils/misc/guc_funcs.c`).

use std::collections::{BTreeMap, BTreeSet};

use memchr::memchr2_iter;

/// Values of settings by their names in lower case, as far as they are not the server's own.
pub type Settings = BTreeMap<Box<str>, Box<str>>;

/// More is not carried along: the client keeps its server.
const SETTINGS_BYTES_MAX: usize = 8 * 1024;

/// What a session has of its own.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Found {
    pub settings: Settings,
    /// Temporary tables, locks and their like: the session cannot leave its server.
    pub pinned: bool,
    /// Not all of its settings are there.
    pub partial: bool,
    bytes: usize,
}

impl Found {
    /// Takes in the body of one DataRow of the answer; `whole`: all of it is here.
    pub fn take(&mut self, row: &[u8], whole: bool) {
        match (whole.then(|| two_fields(row)).flatten(), self.bytes > SETTINGS_BYTES_MAX) {
            // A value that is not ASCII would be read by another client_encoding elsewhere.
            (Some((name, value)), false) if !name.is_empty() && value.is_ascii() => {
                self.bytes += name.len() + value.len();
                self.settings.insert(name.to_ascii_lowercase().into(), value.into());
            }
            (Some(("", _)), _) => self.pinned = true,
            _ => (self.pinned, self.partial) = (true, true),
        }
    }
}

/// The question of one setting's value, in the same form.
pub fn check_one(name: &str) -> String {
    let name = literal(name);
    format!("SELECT {name}, pg_catalog.current_setting({name})")
}

/// The question of what the session of `user` has of its own: a setting a row, `names` among them
/// if they are set, and a row without a name for each thing that cannot leave the server.
pub fn check<'a>(user: &str, names: impl Iterator<Item = &'a str>) -> String {
    let user = literal(user);
    let own: String = names
        .map(literal)
        .map(|name| {
            format!(
                " UNION ALL SELECT {name}, v FROM pg_catalog.current_setting({name}, true) v \
                 WHERE v <> ''"
            )
        })
        .collect();
    format!(
        "SELECT name, setting FROM pg_catalog.pg_settings WHERE source = 'session' \
         UNION ALL SELECT 'role', r FROM pg_catalog.current_setting('role') r WHERE r <> 'none' \
         UNION ALL SELECT '', 'session_authorization' WHERE session_user <> {user} \
         UNION ALL SELECT '', 'temporary' WHERE pg_catalog.pg_my_temp_schema() <> 0 AND EXISTS \
         (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()) \
         UNION ALL SELECT '', 'lock' WHERE EXISTS (SELECT FROM pg_catalog.pg_locks \
         WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()) \
         UNION ALL SELECT '', 'listen' WHERE EXISTS (SELECT FROM pg_catalog.pg_listening_channels()) \
         UNION ALL SELECT '', 'cursor' WHERE EXISTS (SELECT FROM pg_catalog.pg_cursors \
         WHERE is_holdable) \
         UNION ALL SELECT '', 'prepared' WHERE EXISTS (SELECT FROM pg_catalog.pg_prepared_statements \
         WHERE from_sql){own}"
    )
}

/// What takes a server's settings from one client's to another's; `None`: they are the same.
pub fn replay(from: &Settings, to: &Settings) -> Option<String> {
    let reset = from.keys().filter(|name| !to.contains_key(*name)).map(|name| (&**name, None));
    let set = to.iter().filter(|(name, value)| from.get(*name) != Some(value));
    let set = set.map(|(name, value)| (&**name, Some(&**value)));
    let mut calls: Vec<(&str, Option<&str>)> = reset.chain(set).collect();
    if from.contains_key("role") && to.contains_key("role") && from["role"] != to["role"] {
        calls.push(("role", None));
    }
    // Whoever resets a role must be allowed what comes after, and whoever takes one what came before.
    calls.sort_by_key(|(name, value)| match (*name, value) {
        ("role", None) => 0,
        ("role", Some(_)) => 2,
        _ => 1,
    });
    let call = |(name, value): &(&str, Option<&str>)| {
        let value = value.map_or_else(|| "NULL".to_owned(), literal);
        format!("pg_catalog.set_config({}, {value}, false)", literal(name))
    };
    let calls: Vec<_> = calls.iter().map(call).collect();
    (!calls.is_empty()).then(|| format!("SELECT {}", calls.join(", ")))
}

/// A string that means the same whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    let mut out = String::from("E'");
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str(r"\\"),
            '\'' => out.push_str("''"),
            letter if letter.is_ascii() => out.push(letter),
            // Whatever client_encoding is.
            letter => out.push_str(&format!("\\U{:08X}", u32::from(letter))),
        }
    }
    out.push('\'');
    out
}

/// Both fields of a DataRow with two.
fn two_fields(row: &[u8]) -> Option<(&str, &str)> {
    let row = row.strip_prefix(&2_u16.to_be_bytes())?;
    let (first, rest) = field(row)?;
    let (second, rest) = field(rest)?;
    rest.is_empty().then_some((first, second))
}

fn field(row: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = row.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(usize::try_from(i32::from_be_bytes(*len)).ok()?)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Whether a statement that ended with this tag may have left something in its session.
pub fn may_leave(tag: &[u8]) -> bool {
    const TAGS: [&[u8]; 12] = [
        b"SET\0",
        b"RESET\0",
        b"DISCARD",
        b"LISTEN\0",
        b"UNLISTEN\0",
        b"DECLARE CURSOR\0",
        b"CLOSE CURSOR",
        b"PREPARE\0",
        b"DEALLOCATE",
        b"CREATE ",
        b"DO\0",
        b"CALL\0",
    ];
    TAGS.iter().any(|start| tag.starts_with(start))
}

/// Whether such a statement may have set back what its session began with.
pub fn resets(tag: &[u8]) -> bool {
    matches!(tag, b"RESET\0" | b"DISCARD ALL\0")
}

/// Names that a client may use before it stays with its server.
const NAMES_MAX: usize = 64;

/// What a statement may leave in its session that its tag does not tell.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Leaves {
    /// Settings with a name of the user's own, which no view shows: to be asked for by name.
    pub names: BTreeSet<Box<str>>,
    /// What it sets cannot be known: the client never leaves its server again.
    pub forever: bool,
}

impl Leaves {
    pub fn add(&mut self, other: &Leaves) {
        self.names.extend(other.names.iter().cloned());
        self.forever |= other.forever || self.names.len() > NAMES_MAX;
    }
}

/// What a statement of this text may leave; `None`: nothing that its tag does not tell.
///
/// A function that sets such a setting by itself is not seen through.
pub fn left_by(text: &[u8]) -> Option<Leaves> {
    if !(has(text, b"set", 0) || has(text, b"temp", 2) || has(text, b"advisory", 2)) {
        return None;
    }
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let temporary = ["temp", "temporary", "pg_temp"].iter().any(|word| has_word(&text, word));
    let pins = temporary || text.contains("advisory");
    let calls = text.contains("set_config");
    let mut leaves = Leaves::default();
    for (at, _) in text.match_indices("set") {
        let (before, after) = (&text[..at], &text[at + 3..]);
        let named = match after.strip_prefix("_config") {
            Some(call) => Some(literal_argument(call)),
            None if before.ends_with(is_of_name) => continue,
            None => set_name(after),
        };
        match named {
            Some(Some(name)) if name.contains('.') => drop(leaves.names.insert(name.into())),
            Some(None) => leaves.forever = true,
            Some(Some(_)) | None => {}
        }
    }
    (pins || calls || leaves != Leaves::default()).then_some(leaves)
}

/// Whether a word in lower case is there in any; `rare`: which of its letters is looked for, in one
/// quick pass over what may be a long text.
fn has(text: &[u8], word: &[u8], rare: usize) -> bool {
    memchr2_iter(word[rare], word[rare].to_ascii_uppercase(), text).any(|at| {
        let there = at.checked_sub(rare).and_then(|from| text.get(from..from + word.len()));
        there.is_some_and(|there| there.eq_ignore_ascii_case(word))
    })
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '$' | '.')
}

/// The first argument of a call, if it is a plain string.
fn literal_argument(call: &str) -> Option<&str> {
    let argument = call.trim_start().strip_prefix('(')?.trim_start().strip_prefix('\'')?;
    let (name, rest) = argument.split_once('\'')?;
    (rest.trim_start().starts_with(',') && name.chars().all(is_of_name)).then_some(name)
}

/// What stands behind SET: nothing that could be a setting, what cannot be read, or a name.
fn set_name(after: &str) -> Option<Option<&str>> {
    let mut rest = after;
    loop {
        let there = rest.trim_start();
        if there.starts_with("/*") || there.starts_with("--") {
            return Some(None);
        }
        if let Some(quoted) = there.strip_prefix('"') {
            let (name, rest) = quoted.split_once('"')?;
            return Some((!rest.starts_with(['.', '"'])).then_some(name));
        }
        if there.len() == rest.len() || !there.starts_with(is_of_name) {
            return None;
        }
        let end = there.find(|letter| !is_of_name(letter)).unwrap_or(there.len());
        let (name, further) = there.split_at(end);
        if !matches!(name, "session" | "local") {
            let ends = further.is_empty() || further.starts_with(|letter: char| letter.is_ascii());
            return Some(ends.then_some(name));
        }
        rest = further;
    }
}

/// Whether a word, or a part of a name between dots, is there.
fn has_word(text: &str, word: &str) -> bool {
    let part = |letter: char| is_of_name(letter) && letter != '.';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn row(name: &str, value: &str) -> Vec<u8> {
        let mut row = 2_u16.to_be_bytes().to_vec();
        for text in [name, value] {
            row.extend(u32::try_from(text.len()).expect("short").to_be_bytes());
            row.extend(text.as_bytes());
        }
        row
    }

    #[test]
    fn what_differs_is_set_and_what_the_other_has_more_is_reset() {
        let from = settings(&[("a.b", "1"), ("role", "x"), ("work_mem", "64")]);
        let to = settings(&[("a.b", "it's \\"), ("work_mem", "64")]);
        let expected = "SELECT pg_catalog.set_config(E'role', NULL, false), \
                        pg_catalog.set_config(E'a.b', E'it''s \\\\', false)";
        assert_eq!(replay(&from, &to).as_deref(), Some(expected));
        assert_eq!(replay(&to, &to), None);
    }

    #[test]
    fn rows_are_settings_or_pin() {
        let mut found = Found::default();
        found.take(&row("search_path", "\"$user\", public"), true);
        assert_eq!((found.settings.len(), found.pinned), (1, false));
        for (bad, whole) in [
            (row("", "lock"), true),
            (row("a.b", "é"), true),
            (row("a.b", "c"), false),
            (b"\0\x02\0\0\0\x09a".to_vec(), true),
        ] {
            let mut found = found.clone();
            found.take(&bad, whole);
            assert!(found.pinned && found.settings.len() == 1, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn more_than_goes_along_pins() {
        let mut found = Found::default();
        for number in 0..10 {
            found.take(&row(&format!("a.b{number}"), &"x".repeat(1_000)), true);
        }
        assert_eq!((found.settings.len(), found.pinned), (9, true));
    }

    #[test]
    fn statements_are_judged_by_tag_and_text() {
        assert!(
            [&b"SET\0"[..], b"DISCARD ALL\0", b"CREATE TABLE\0"].iter().all(|tag| may_leave(tag))
        );
        assert!([&b"SELECT 1\0"[..], b"INSERT 0 1\0"].iter().all(|tag| !may_leave(tag)));
        assert_eq!(left_by(b"select pg_try_ADVISORY_lock(1)"), Some(Leaves::default()));
        for text in [
            "select 1",
            "set search_path = a",
            "update offset.t set a = 1",
            "update t set \"Name\" = $1, (a, b) = (1, 2)",
            "update t set (a, b) = (1, 2)",
            "insert into attempts values ('a set: of templates')",
        ] {
            assert_eq!(left_by(text.as_bytes()), None, "{text}");
        }
        for (text, names, forever) in [
            ("select set_config('App.Tenant', $1, false)", &["app.tenant"][..], false),
            ("select set_config($1, $2, false)", &[], true),
            ("begin; SET LOCAL app.x TO 1; set session a.b=2", &["a.b", "app.x"], false),
            ("set \"App\".x = 1", &[], true),
            ("set app.größe = 1", &[], true),
            ("select pg_catalog.set_config('app.x', '1', false)", &["app.x"], false),
            ("select set_config('app.' || $1, $2, false)", &[], true),
            ("SET/**/app.x=1", &[], true),
            ("set\tsession\napp.x = 1", &["app.x"], false),
            ("set session /* */ app.x = 1", &[], true),
            ("set \"app.x\" = 1", &["app.x"], false),
            ("set \"app\".\"x\" = 1", &[], true),
        ] {
            let leaves = left_by(text.as_bytes()).expect("it may leave something");
            let found: Vec<_> = leaves.names.iter().map(|name| &**name).collect();
            assert_eq!((&found[..], leaves.forever), (names, forever), "{text}");
        }
    }
}
