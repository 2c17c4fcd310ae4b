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
}

impl Change {
    pub(super) fn new(sql: String) -> Change {
        Change { shown: sql.clone(), sql: Redacted::new(sql), database: None }
    }

    /// `before` and a literal that nobody may see.
    pub(super) fn secret(before: &str, literal: &str) -> Change {
        Change {
            sql: Redacted::new(format!("{before} {literal}")),
            shown: format!("{before} '***'"),
            database: None,
        }
    }

    pub(super) fn within(self, database: &str) -> Change {
        Change { database: Some(database.to_owned()), ..self }
    }

    /// Whether it takes back a setting of a role or database that somebody made by hand.
    #[must_use]
    pub fn resets_setting(&self) -> bool {
        // Names may hold anything, in double quotes; none of the statements ends like this else.
        let last = self.shown.rsplit_once(" RESET ").map(|(_, name)| name);
        last.is_some_and(|name| !name.contains(['\'', '"', ' ']))
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
