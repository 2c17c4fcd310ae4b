//! What may be lost of acknowledged commits now, and whose commits do not wait for voters.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a node says of commits in its member record.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Commits {
    /// As leader: what no other node is known to hold.
    pub rpo: Option<Rpo>,
    /// As leader: roles and databases with a `synchronous_commit` below `on`.
    pub opted_out: Vec<OptedOut>,
    /// Sessions from this node's endpoints to the primary that asked for one when they connected.
    pub sessions: u32,
}

/// What the loss of the leader's host would cost now: WAL that no other node is known to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rpo {
    /// `None`: not known, because no other node's position is.
    pub bytes: Option<u64>,
    /// By when the oldest of it was written, wall clock, milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
}

impl Rpo {
    /// Commits are not acknowledged before others hold them.
    pub const NOTHING: Rpo = Rpo { bytes: Some(0), since_unix_ms: None };
}

/// A row of `pg_db_role_setting` that sets `synchronous_commit` below `on`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OptedOut {
    /// `None`: every role.
    pub role: Option<String>,
    /// `None`: every database.
    pub database: Option<String>,
    /// As it was set: `off`, `local`, `remote_write`, or another word for `off`.
    pub value: String,
}

impl OptedOut {
    /// The statement that takes it back.
    pub fn undo(&self) -> String {
        let of = match (&self.role, &self.database) {
            (Some(role), Some(database)) => {
                format!("ROLE {} IN DATABASE {}", quoted(role), quoted(database))
            }
            (Some(role), None) => format!("ROLE {}", quoted(role)),
            (None, Some(database)) => format!("DATABASE {}", quoted(database)),
            (None, None) => "ROLE ALL".to_owned(),
        };
        format!("ALTER {of} RESET synchronous_commit")
    }
}

impl fmt::Display for OptedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.role, &self.database) {
            (Some(role), Some(database)) => write!(f, "role {role} in database {database}")?,
            (Some(role), None) => write!(f, "role {role}")?,
            (None, Some(database)) => write!(f, "database {database}")?,
            (None, None) => write!(f, "all roles")?,
        }
        write!(f, ": synchronous_commit = {}", self.value)
    }
}

/// A name as SQL takes it; quotes that it does not need do no harm.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if starts_well && name.chars().all(plain) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_told_with_its_undoing() {
        let of = |role: Option<&str>, database: Option<&str>| OptedOut {
            role: role.map(str::to_owned),
            database: database.map(str::to_owned),
            value: "off".to_owned(),
        };
        for (setting, told, undo) in [
            (of(Some("app"), None), "role app", "ROLE app"),
            (of(None, Some("Shop\"")), "database Shop\"", "DATABASE \"Shop\"\"\""),
            (of(Some("a-b"), Some("d")), "role a-b in database d", "ROLE \"a-b\" IN DATABASE d"),
            (of(None, None), "all roles", "ROLE ALL"),
        ] {
            assert_eq!(setting.to_string(), format!("{told}: synchronous_commit = off"));
            assert_eq!(setting.undo(), format!("ALTER {undo} RESET synchronous_commit"));
        }
    }
}
