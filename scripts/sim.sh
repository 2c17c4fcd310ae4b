#!/usr/bin/env bash
# Many seeds of the simulation; keeps a summary, which is written anew as it goes on.
#
#   SEEDS=100000 FROM=1 scripts/sim.sh [further options of `howdah-sim`]
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh

commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- crates || commit=$commit+
cargo build --locked --package howdah-sim
name=$(date -u +%Y-%m-%d-%H%M)
mkdir -p docs/simulation
exec "${CARGO_TARGET_DIR:-target}/debug/howdah-sim" --from "${FROM:-1}" --seeds "${SEEDS:-100000}" \
    --commit "$commit" --write "docs/simulation/$name.json" "$@"
