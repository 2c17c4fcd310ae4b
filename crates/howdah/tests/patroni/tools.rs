//! Python's programs that these tests run: `scripts/setup.sh test` puts them into `target/python`.

use std::path::{Path, PathBuf};

/// A program of the tests' own Python.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("target/python/bin").join(name);
    assert!(path.exists(), "`{}` is missing; hint: scripts/setup.sh test", path.display());
    path
}
