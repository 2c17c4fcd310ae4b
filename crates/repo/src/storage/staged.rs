//! Names of what is written and not there yet. No listing shows them.

use crate::random::random;

const PREFIX: &str = ".new-";

/// A name of its own for each attempt, so that two writers never meet.
pub(super) fn fresh_name() -> String {
    // It fails only where the machine has no random numbers; then the process's must do.
    let random = random().map_or_else(|_| std::process::id().into(), u64::from_be_bytes);
    format!("{PREFIX}{random:016x}")
}

pub(super) fn is_staged(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.starts_with(PREFIX))
}
