//! `[backup.drill]`: where backups are restored to see whether they can be, and what is asked of a copy.

use std::path::PathBuf;

use howdah_base::Span;

/// How a drill is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DrillSpec {
    /// The copy lies below it while the drill lasts.
    pub scratch: PathBuf,
    /// From its start until the copy answers, and for its checks once more, a drill may take so long.
    pub within: Span,
    /// Libraries that a copy cannot do without; it is started without all others.
    pub preload: Vec<String>,
    pub checks: Vec<DrillCheck>,
}

/// A question that a copy has to answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DrillCheck {
    pub name: String,
    pub database: String,
    pub sql: String,
    /// The first column of the first row as text; `None`: it has to be true.
    pub expect: Option<String>,
}
