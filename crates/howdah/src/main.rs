//! The `howdah` binary: verbs in, exit code out.

fn main() {}
