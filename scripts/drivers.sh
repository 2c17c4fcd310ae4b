#!/usr/bin/env bash
# Each driver does as applications do with PostgreSQL itself and through the pooler, also those that
# need more than `make test` installs.
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh

if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --package howdah-proxy --test endpoints --locked --cargo-quiet \
        --run-ignored all -E 'test(/^drivers::/)'
fi
exec cargo test --package howdah-proxy --test endpoints --locked --quiet -- drivers:: \
    --include-ignored
