#!/usr/bin/env bash
# Everything that must hold of a commit. The last line is the runner's own summary.
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh

say() { printf '== %s\n' "$*" >&2; }

# The licence check reads the manifest of every dependency, those of other systems too.
cargo fetch --locked --quiet

say "format"
cargo fmt --all --check

say "lints"
cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

say "tests, and the rules of the house among them"
if cargo nextest --version >/dev/null 2>&1; then
    scripts/test-majors.sh --telling 18
    exec cargo nextest run --workspace --locked --cargo-quiet
fi
exec cargo test --workspace --locked --quiet
