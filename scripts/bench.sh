#!/usr/bin/env bash
# Howdah and its peers, measured in the same run.
#
#   scripts/bench.sh [failover|proxy|held|saturation|backup] [options of the program]
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh

cargo build --release --locked --package howdah --package howdah-bench
case ${1:-} in
    failover | proxy | held | saturation | backup) program=$1 && shift ;;
    *) program=failover ;;
esac
exec "${CARGO_TARGET_DIR:-target}/release/$program" "$@"
