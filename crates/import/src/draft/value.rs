//! Values of the cluster file, written as TOML.

use std::fmt::{self, Display, Write};

/// A value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    Texts(Vec<String>),
    /// A secret's place: `env` or `file`, and its name.
    Secret(&'static str, String),
    /// Nothing: the table is there, perhaps empty.
    Table,
}

impl Value {
    pub(crate) fn text(text: impl Display) -> Value {
        Value::Text(text.to_string())
    }

    /// A server parameter: plain numbers without quotes.
    pub(crate) fn setting(text: &str) -> Value {
        match text.parse::<i64>() {
            // Not `007` nor `+7`, which PostgreSQL and TOML would read differently.
            Ok(number) if number.to_string() == text => Value::Number(number),
            _ => Value::Text(text.to_owned()),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(&quoted(text)),
            Value::Number(number) => write!(f, "{number}"),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Texts(texts) => {
                let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
                write!(f, "[{}]", texts.join(", "))
            }
            Value::Secret(source, name) => write!(f, "{{ {source} = {} }}", quoted(name)),
            Value::Table => Ok(()),
        }
    }
}

/// A key, quoted where TOML wants it.
pub(crate) fn bare(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { quoted(key) }
}

/// A basic string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
