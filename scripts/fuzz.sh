#!/usr/bin/env bash
# Each fuzz target for a while, one after the other. What one finds lies in target/fuzz/found and
# is played again by `target/fuzz/*/release/<target> <file>`.
#
#   MINUTES=5 TARGETS='hostile pooled' scripts/fuzz.sh
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh
PATH=$PWD/target/tools/bin:$PATH

targets=${TARGETS:-opening scram walk hostile pooled}
seconds=$((${MINUTES:-5} * 60))
# Its own sanitizer's flags need a build of its own.
export CARGO_TARGET_DIR=$PWD/target/fuzz

cargo +nightly fuzz build --fuzz-dir fuzz
failed=
for target in $targets; do
    mkdir -p "target/fuzz/corpus/$target" target/fuzz/found
    printf 'fuzz: %s for %s s\n' "$target" "$seconds" >&2
    log=target/fuzz/$target.log
    if ! nice -n 19 target/fuzz/*/release/"$target" "target/fuzz/corpus/$target" \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -max_len=2000 \
        -len_control=20 -detect_leaks=0 \
        -artifact_prefix="target/fuzz/found/$target-" >"$log" 2>&1; then
        failed="$failed $target"
        grep -m 1 -A 3 'panicked\|ERROR' "$log" >&2 || tail -n 5 "$log" >&2
    fi
    tail -n 1 "$log" >&2
done
[ -z "$failed" ] || {
    printf 'fuzz: found something:%s\nhint: look into target/fuzz/*.log and target/fuzz/found\n' \
        "$failed" >&2
    exit 1
}
