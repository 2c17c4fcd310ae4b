#!/usr/bin/env bash
# Howdah and its peers, measured in the same run.
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh

cargo build --release --locked --package howdah --package howdah-bench
exec "${CARGO_TARGET_DIR:-target}/release/failover" "$@"
