//! pg_hba rules: parsed where the cluster file is read, matched against a client's own address.

/// One pg_hba line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HbaRule {
    /// The line as written, for `pg_hba.conf`.
    pub line: String,
}
