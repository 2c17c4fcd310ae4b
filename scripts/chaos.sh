#!/usr/bin/env bash
# A cluster on machines of its own, faults by a plan that follows from a seed, and a judge of what
# clients were told. Keeps a summary, and puts it into the sum of all runs.
#
#   MINUTES=10 SEED=1 NODES=3 scripts/chaos.sh [further options of `howdah-chaos run`]
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh

minutes=${MINUTES:-10}
seed=${SEED:-1}
[ "$(id -u)" = 0 ] || {
    echo 'chaos: machines are network namespaces and their disks are mounts, which only root may make' >&2
    echo 'hint: sudo make chaos' >&2
    exit 1
}
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- crates || commit=$commit+
cargo build --locked --package howdah --package howdah-chaos
chaos=${CARGO_TARGET_DIR:-target}/debug/howdah-chaos
name=$(date -u +%Y-%m-%d-%H%M)-seed-$seed
status=0
"$chaos" run --seed "$seed" --minutes "$minutes" --nodes "${NODES:-3}" --commit "$commit" \
    --output "docs/chaos/$name.json" --logs "${CARGO_TARGET_DIR:-target}/chaos/$name" "$@" || status=$?
# Rules that never fired yet are named in the page, and are no failure of this run.
"$chaos" sum --write docs/chaos.md docs/chaos/*.json || true
exit "$status"
