#!/usr/bin/env bash
# Builds Howdah and runs a cluster of three nodes until Ctrl-C. Its file stays in .howdah/.
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh

cargo build --release --locked
howdah=${CARGO_TARGET_DIR:-target}/release/howdah
file=.howdah/demo.toml

mkdir -p .howdah
[ -e "$file" ] || "$howdah" init --demo --output "$file"
exec "$howdah" up -f "$file"
