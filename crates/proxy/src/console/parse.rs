//! What an operator types, read as PgBouncer reads it: a word, perhaps another, perhaps a semicolon;
//! or `SET key = value`. Pure.

use super::show::Show;

/// One statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Statement {
    Show(Show),
    /// A parameter that clients ask any server for, and its value.
    Parameter(&'static str, &'static str),
    Set {
        key: String,
        value: String,
    },
    Do(Verb, Option<String>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    Disable,
    Enable,
    Kill,
    KillClient,
    Pause,
    Reconnect,
    Reload,
    Resume,
    Shutdown,
    Suspend,
    WaitClose,
}

const VERBS: [(&str, Verb); 11] = [
    ("disable", Verb::Disable),
    ("enable", Verb::Enable),
    ("kill", Verb::Kill),
    ("kill_client", Verb::KillClient),
    ("pause", Verb::Pause),
    ("reconnect", Verb::Reconnect),
    ("reload", Verb::Reload),
    ("resume", Verb::Resume),
    ("shutdown", Verb::Shutdown),
    ("suspend", Verb::Suspend),
    ("wait_close", Verb::WaitClose),
];

impl Verb {
    /// What it is answered with when it is done.
    pub fn tag(self) -> String {
        let name = VERBS.iter().find(|(_, verb)| *verb == self).map_or("", |(name, _)| name);
        name.to_ascii_uppercase()
    }
}

/// What drivers ask for or set before they let anybody speak.
pub(super) const PARAMETERS: [(&str, &str); 5] = [
    ("client_encoding", "UTF-8"),
    ("default_transaction_isolation", "read committed"),
    ("standard_conforming_strings", "on"),
    ("datestyle", "ISO"),
    ("timezone", "GMT"),
];

/// Bytes of a command's name, of its argument, and of a value, one more each.
const NAME_MAX: usize = 16;
const ARGUMENT_MAX: usize = 64;
const VALUE_MAX: usize = 256;

/// It cannot be carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Wrong {
    #[error("invalid command '{0}', use SHOW HELP;")]
    Command(String),
    #[error("bad arguments")]
    Arguments,
}

pub(super) fn parse(text: &str) -> Result<Statement, Wrong> {
    if let Some((name, argument)) = command(text) {
        let argument = argument.unwrap_or_default();
        if name.len() >= NAME_MAX || argument.len() >= ARGUMENT_MAX {
            return Err(Wrong::Arguments);
        }
        return of_words(&name, argument).ok_or_else(|| Wrong::Command(text.to_owned()));
    }
    let (key, value) = set(text).ok_or_else(|| Wrong::Command(text.to_owned()))?;
    if key.is_empty() || key.len() >= ARGUMENT_MAX || value.len() >= VALUE_MAX {
        return Err(Wrong::Arguments);
    }
    Ok(Statement::Set { key, value })
}

fn of_words(name: &str, argument: String) -> Option<Statement> {
    if ["show", "select"].iter().any(|word| name.eq_ignore_ascii_case(word)) {
        let known = PARAMETERS.iter().find(|(known, _)| argument.eq_ignore_ascii_case(known));
        if let Some((name, value)) = known {
            return Some(Statement::Parameter(name, value));
        }
        return Show::named(&argument).map(Statement::Show);
    }
    let (_, verb) = VERBS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
    Some(Statement::Do(*verb, Some(argument).filter(|argument| !argument.is_empty())))
}

/// `name [argument] [;]`.
fn command(text: &str) -> Option<(String, Option<String>)> {
    let (name, rest) = word(text.trim_start_matches(BLANKS), '"')?;
    let after = rest.trim_start_matches(BLANKS);
    if is_end(after) {
        return Some((name, None));
    }
    let (argument, rest) = word(after, '"').filter(|_| after.len() < rest.len())?;
    is_end(rest).then_some((name, Some(argument)))
}

/// `set key = value [;]`, `to` for the sign.
fn set(text: &str) -> Option<(String, String)> {
    let text = text.trim_start_matches(BLANKS);
    let rest = text.get(..3).filter(|word| word.eq_ignore_ascii_case("set")).map(|_| &text[3..])?;
    let begins = rest.trim_start_matches(BLANKS);
    let (key, rest) = word(begins, '"').filter(|_| begins.len() < rest.len())?;
    let rest = rest.trim_start_matches(BLANKS);
    let rest = match rest.strip_prefix('=') {
        Some(rest) => rest,
        None => rest.get(..2).filter(|word| word.eq_ignore_ascii_case("to")).map(|_| &rest[2..])?,
    };
    let rest = rest.trim_start_matches(BLANKS);
    let (value, rest) = word(rest, '\'').or_else(|| word(rest, '"'))?;
    is_end(rest).then_some((key, value))
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

fn is_end(rest: &str) -> bool {
    let rest = rest.trim_matches(BLANKS);
    rest.is_empty() || rest == ";"
}

/// A word, or anything in quotes of this kind, each of which is doubled inside; and what follows.
fn word(text: &str, quote: char) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix(quote) {
        let mut value = String::new();
        let mut rest = rest;
        loop {
            let end = rest.find(quote)?;
            value.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix(quote) {
                Some(after) => {
                    value.push(quote);
                    rest = after;
                }
                None => return Some((value, rest)),
            }
        }
    }
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let end = text.find(|letter| !is_part(letter)).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_as_pgbouncer_reads_them() {
        let all = [
            ("SHOW POOLS", "Show(Pools)"),
            ("  show\tpools ; ", "Show(Pools)"),
            ("show stats_totals;", "Show(StatsTotals)"),
            ("select version", "Show(Version)"),
            ("show \"pools\"", "Show(Pools)"),
            ("show client_encoding", r#"Parameter("client_encoding", "UTF-8")"#),
            ("show TimeZone", r#"Parameter("timezone", "GMT")"#),
            ("PAUSE", "Do(Pause, None)"),
            ("pause shop;", r#"Do(Pause, Some("shop"))"#),
            (r#"Pause "My ""shop""""#, r#"Do(Pause, Some("My \"shop\""))"#),
            ("kill_client 42", r#"Do(KillClient, Some("42"))"#),
            ("shutdown wait_for_clients", r#"Do(Shutdown, Some("wait_for_clients"))"#),
            ("set a = 'it''s'", r#"Set { key: "a", value: "it's" }"#),
            ("SET a=5;", r#"Set { key: "a", value: "5" }"#),
            ("set \"a\" to \"b\"", r#"Set { key: "a", value: "b" }"#),
            ("set a to b", r#"Set { key: "a", value: "b" }"#),
        ];
        for (text, want) in all {
            let read = parse(text).unwrap_or_else(|wrong| panic!("`{text}`: {wrong}"));
            assert_eq!(format!("{read:?}"), want, "`{text}`");
        }
    }

    #[test]
    fn what_is_no_command_is_repeated_in_the_error() {
        for text in [
            "",
            ";",
            "show",
            "show nothing",
            "showpools",
            "pause a b",
            "pause; pause",
            "set a",
            "set = 5",
            "seta=5",
            "show pools;;",
            "pause \"open",
            "select 1",
            "pause \"a\"\"",
            "ж",
            "set a = 'open",
        ] {
            let wrong = parse(text).expect_err(text);
            assert_eq!(wrong.to_string(), format!("invalid command '{text}', use SHOW HELP;"));
        }
        let long = "x".repeat(64);
        for text in [format!("pause {long}"), format!("{long} a"), format!("set {long} = 1")] {
            assert_eq!(parse(&text), Err(Wrong::Arguments), "{text}");
        }
    }
}
