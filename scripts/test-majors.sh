#!/usr/bin/env bash
# Stories of a cluster on other majors of PostgreSQL than the machine's own.
#
#   scripts/test-majors.sh                  every story on 16, 17 and 18
#   scripts/test-majors.sh --telling 18     on 18, those in which majors could differ
set -eu
cd "$(dirname "$0")/.."
. scripts/path.sh

# A cluster made, copied, rewound, promoted, shut down for another; slots; and an agent that
# finds its server running.
telling='test(/three_started_at_once/) + test(/host_lost_in_quorum/) + test(/rewound/)
    + test(/switchover_under_load_in_quorum/) + test(/agent_killed_and_started_again/)
    + test(/copies_anew/) + test(/users_logical_slot/)'

main() {
    filter='all()'
    if [ "${1:-}" = --telling ]; then
        filter="($telling) - test(/^etcd/)"
        shift
    fi
    [ $# -gt 0 ] || set -- 16 17 18
    local major
    for major in "$@"; do
        if [ ! -e "${CARGO_TARGET_DIR:-target}/postgresql/majors/$major/whole" ]; then
            echo "PostgreSQL $major is not here, its stories are left out: scripts/majors.sh" >&2
            continue
        fi
        echo "== PostgreSQL $major" >&2
        HOWDAH_TEST_MAJOR=$major cargo nextest run --locked --cargo-quiet \
            --package howdah --test cluster --filterset "$filter"
    done
}

main "$@"
