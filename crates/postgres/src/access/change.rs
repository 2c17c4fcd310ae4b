//! One statement that brings the server nearer to the file.

use std::fmt;

use howdah_base::Redacted;

/// A statement, and how it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    pub sql: Redacted<String>,
    /// The statement without its secret, for `--diff`, logs and errors.
    pub shown: String,
    /// The database in which it must run; any when `None`.
    pub database: Option<String>,
    /// It takes back a setting of a role or database that somebody made by hand.
    pub resets: bool,
}

impl Change {
    pub(super) fn new(sql: String) -> Change {
        Change { shown: sql.clone(), sql: Redacted::new(sql), database: None, resets: false }
    }

    /// Takes a setting back.
    pub(super) fn reset(sql: String) -> Change {
        Change { resets: true, ..Change::new(sql) }
    }

    /// `before` and a literal that nobody may see.
    pub(super) fn secret(before: &str, literal: &str) -> Change {
        Change {
            sql: Redacted::new(format!("{before} {literal}")),
            shown: format!("{before} '***'"),
            database: None,
            resets: false,
        }
    }

    pub(super) fn within(self, database: &str) -> Change {
        Change { database: Some(database.to_owned()), ..self }
    }

    /// Whether `shown` hides something.
    pub(super) fn is_secret(&self) -> bool {
        *self.sql.expose() != self.shown
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.database {
            Some(database) => write!(f, "in {database}: {}", self.shown),
            None => f.write_str(&self.shown),
        }
    }
}
