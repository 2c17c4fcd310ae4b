#!/usr/bin/env bash
# All stories of a cluster with the nodes' own etcd as the store. `make test` tells a chosen half
# of them on it (`crates/howdah/tests/cluster/etcd`).
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh

export HOWDAH_TEST_STORE=etcd
exec cargo nextest run -p howdah --test cluster --locked --cargo-quiet \
    -E "not test(/^etcd::stories::/)" "$@"
