#!/usr/bin/env bash
# Each fuzz target for so many minutes, one after the other, and what all of them came to. What one
# finds lies in target/fuzz/found and is played again by `target/fuzz/*/release/<target> <file>`.
#
#   MINUTES=5 TARGETS='hostile pooled' scripts/fuzz.sh
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh
PATH=$PWD/target/tools/bin:$PATH

targets=${TARGETS:-opening scram walk hostile pooled repository}
case ${MINUTES:=5} in
    '' | *[!0-9]* | 0)
        # The tool takes 0 for no bound at all.
        printf 'fuzz: not a number of minutes: `%s`\nhint: MINUTES=5 scripts/fuzz.sh\n' "$MINUTES" >&2
        exit 64
        ;;
esac
seconds=$((MINUTES * 60))
# Its own sanitizer's flags need a build of its own.
export CARGO_TARGET_DIR=$PWD/target/fuzz

cargo +nightly fuzz build --fuzz-dir fuzz
failed= count=0 runs=0 began=$(date +%s)
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
    # `Done 1234 runs in 301 second(s)`; one that has found something does not say it.
    done=$(sed -n 's/^Done \([0-9]*\) runs in .*/\1/p' "$log")
    count=$((count + 1)) runs=$((runs + ${done:-0}))
done
printf 'fuzz: %s targets, %s runs in %s s, found:%s\n' \
    "$count" "$runs" "$(($(date +%s) - began))" "${failed:- nothing}" >&2
[ -z "$failed" ] || {
    printf 'fuzz: found something:%s\nhint: look into target/fuzz/*.log and target/fuzz/found\n' \
        "$failed" >&2
    exit 1
}
