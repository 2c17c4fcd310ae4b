//! What a pool's servers are logged into with.

use std::fmt;

use howdah_wire::scram::Secret;

/// What is known of a role's password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Nothing: only a server that asks for nothing lets it in.
    Nothing,
    /// PostgreSQL's old hash of it: only a server that asks for MD5 lets it in.
    Md5(String),
    /// Itself, or what a client has shown of it.
    Scram(Secret),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
