//! A SET of which is known what it leaves: one setting, whose value can be asked for by its name.
//! What else a session may have need not be looked for behind it, which takes a server a millisecond.

use super::client_half::ClientHalf;
use super::said::Said;

/// What a client has said since its server was clean.
#[derive(Debug)]
pub(super) enum Says {
    Nothing,
    /// A SET of this name.
    Sets(Box<str>),
    Else,
}

impl Says {
    /// It says one thing more; `clean`: its server is.
    pub fn add(&mut self, clean: bool, said: &Said<'_>) {
        let sets = match said {
            Said::Query(text) if clean => plain_set(text),
            _ => None,
        };
        *self = sets.map_or(Says::Else, Says::Sets);
    }
}

impl ClientHalf {
    /// The one setting that it may have set since its server was clean, if that can be known from
    /// what it has said.
    pub fn take_set(&mut self) -> Option<Box<str>> {
        match std::mem::replace(&mut self.says, Says::Nothing) {
            Says::Sets(name) => Some(name),
            Says::Nothing | Says::Else => None,
        }
    }
}

/// Settings that have no rules of their own: what they show sets them again. A name of the user's
/// own, which has a dot in it, is one as well.
const PLAIN: [&str; 30] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_tablespace",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "enable_hashjoin",
    "enable_indexscan",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_seqscan",
    "extra_float_digits",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "maintenance_work_mem",
    "max_parallel_workers_per_gather",
    "plan_cache_mode",
    "row_security",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "synchronous_commit",
    "timezone",
    "work_mem",
];

/// The name, in lower case, that a Query of this text sets for its session if it succeeds; `None`:
/// it may do something else.
fn plain_set(text: &[u8]) -> Option<Box<str>> {
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    // A long statement is not looked through for nothing.
    let first = text.trim_ascii_start().get(..b"set".len())?;
    if !first.eq_ignore_ascii_case(b"set") || !text.is_ascii() {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?.trim_ascii();
    let rest = word(text.strip_suffix(';').unwrap_or(text), "set")?;
    let rest = word(rest, "session").unwrap_or(rest);
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))?;
    let (name, rest) = rest.split_at(end);
    let rest = rest.trim_ascii_start();
    let value = rest.strip_prefix('=').or_else(|| word(rest, "to"))?.trim_ascii();
    let name = name.to_ascii_lowercase();
    let known = PLAIN.binary_search(&&*name).is_ok() || name.contains('.');
    (known && !value.eq_ignore_ascii_case("default") && is_value(value)).then(|| name.into())
}

/// Words, numbers and strings with commas between them.
fn is_value(value: &str) -> bool {
    let mut quote = None;
    for letter in value.chars() {
        match (quote, letter) {
            (_, '\\') => return false,
            (Some(open), _) => quote = (letter != open).then_some(open),
            (None, '\'' | '"') => quote = Some(letter),
            (None, _) => {
                let plain = letter.is_ascii_alphanumeric() || "_$,. +-\t\n\r".contains(letter);
                if !plain {
                    return false;
                }
            }
        }
    }
    // Two of them begin a comment.
    quote.is_none() && !value.contains("--") && !value.is_empty()
}

/// What stands behind a word.
fn word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (there, rest) = text.split_at_checked(word.len())?;
    let ends = rest.starts_with(|c: char| c.is_ascii_whitespace() || matches!(c, '\'' | '"'));
    (there.eq_ignore_ascii_case(word) && ends).then(|| rest.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_one_plain_setting_is_told_from_all_the_rest() {
        assert!(PLAIN.is_sorted());
        for (text, name) in [
            ("SET work_mem = '64MB'", "work_mem"),
            (" set Session Search_Path to \"$user\", 'it''s', b ;\0", "search_path"),
            ("set timezone='Europe/Berlin'", "timezone"),
            ("set datestyle to iso, dmy", "datestyle"),
            ("set statement_timeout=5000;", "statement_timeout"),
            ("set extra_float_digits = -3", "extra_float_digits"),
            ("set App.Tenant = 'x; select 1'", "app.tenant"),
        ] {
            assert_eq!(plain_set(text.as_bytes()).as_deref(), Some(name), "{text}");
        }
        for text in [
            "",
            "select 1",
            "set local work_mem = '64MB'",
            "set work_mem = '64MB'; select 1",
            "set work_mem = '64MB';;",
            "set work_mem to default",
            "set work_mem from current",
            "set work_mem = -- '\n'1MB'",
            "set work_mem = /* */ '1MB'",
            "set work_mem = e'1MB\\''",
            "set work_mem = '1MB",
            "set search_path = $$a$$; drop table t; set x = $$b$$",
            "set role = 'other'",
            "set role other",
            "set session authorization other",
            "set session characteristics as transaction read only",
            "set seed = 0.5",
            "set time zone 'UTC'",
            "set names 'UTF8'",
            "set \"work_mem\" = 1",
            "set work_mem",
            "set work_mem =",
            "settings = 1",
            "set application_name = 'ü'",
        ] {
            assert_eq!(plain_set(text.as_bytes()), None, "{text}");
        }
    }
}
