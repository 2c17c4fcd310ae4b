//! What became of each key of an input.

use std::fmt;

use serde::Serialize;

/// One key of an input and its fate. A value is never told: it may be a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// As the input calls it: `bootstrap.dcs.ttl`, `max_connections`, `POSTGRES_USER`.
    pub key: String,
    #[serde(flatten)]
    pub fate: Fate,
}

/// What became of a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "fate", content = "detail", rename_all = "snake_case")]
pub enum Fate {
    /// Where it stands in the cluster file.
    Carried(String),
    /// Howdah does that itself: how.
    Replaced(String),
    /// What is to be done by hand, or why it cannot be had.
    NotCarried(String),
    /// Nobody knows this key; perhaps what it was meant to be.
    Unknown(String),
}

impl Fate {
    pub fn replaced(how: impl Into<String>) -> Fate {
        Fate::Replaced(how.into())
    }

    pub fn not_carried(what: impl Into<String>) -> Fate {
        Fate::NotCarried(what.into())
    }

    /// The word for it, and what is said of it.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Fate::Carried(to) => ("carried", to),
            Fate::Replaced(how) => ("replaced", how),
            Fate::NotCarried(what) => ("not carried", what),
            Fate::Unknown(what) => ("unknown", what),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, detail) = self.fate.parts();
        let Finding { file, line, key, .. } = self;
        write!(f, "{file}:{line}: {}: {word}", shown(key))?;
        if detail.is_empty() { Ok(()) } else { write!(f, ": {detail}") }
    }
}

/// A key as it can be printed: whatever an input holds, it stays on its line.
pub(crate) fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(plain).collect()
}
