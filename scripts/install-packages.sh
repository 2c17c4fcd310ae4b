#!/usr/bin/env bash
# Installs Debian packages and leaves the machine otherwise as it was: no service is started or
# restarted, none is enabled for the next boot, and PostgreSQL's packaging makes no cluster
# `main`. `postgresql` stands for the server of the version that the distribution offers.
#
#   scripts/install-packages.sh package...        as root
set -eu

policy=/usr/sbin/policy-rc.d
saved=/usr/sbin/policy-rc.d.before-howdah
clusters=/etc/postgresql-common/createcluster.d/zz-howdah-setup.conf
made_directories=""

main() {
    [ $# -gt 0 ] || fail "no package is named" "scripts/install-packages.sh postgresql"
    [ "$(id -u)" = 0 ] || fail "only root can install packages" "sudo $0 $*"
    exec 9>/run/howdah-setup.lock
    flock 9

    apt-cache show "$@" >/dev/null 2>&1 || apt-get update -q
    local packages
    packages=$(resolve "$@")

    trap put_back EXIT
    trap 'exit 130' INT TERM HUP
    keep_services_stopped
    keep_main_cluster_away
    local before
    before=$(enabled_services)
    # needrestart would restart services that have nothing to do with this.
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get install -q -y \
        --no-install-recommends --no-upgrade -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Options::=--force-confold $packages </dev/null
    disable_new_services "$before"
}

fail() {
    printf 'setup: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

# The metapackage would also pull in the next major version at some upgrade.
resolve() {
    local package major
    for package in "$@"; do
        if [ "$package" != postgresql ]; then
            echo "$package"
            continue
        fi
        major=$(apt-cache show postgresql | sed -n 's/^Depends:.*postgresql-\([0-9]*\).*/\1/p' | sort -n | tail -n 1)
        [ "${major:-0}" -ge 15 ] ||
            fail "this distribution offers PostgreSQL \`${major:-none}\`, Howdah needs 15 or later" \
                "https://wiki.postgresql.org/wiki/Apt has every version for every release of Debian and Ubuntu"
        echo "postgresql-$major"
    done
}

# Debian's own means: whatever a package wants to start is refused.
keep_services_stopped() {
    put_back_policy
    [ ! -e "$policy" ] || mv "$policy" "$saved"
    printf '#!/bin/sh\n# howdah-setup: taken away when the installation is over\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

# The packaging reads this before it makes `main`; a file of the administrator stays untouched.
keep_main_cluster_away() {
    local directory
    for directory in /etc/postgresql-common /etc/postgresql-common/createcluster.d; do
        [ -d "$directory" ] || { mkdir "$directory" && made_directories="$directory $made_directories"; }
    done
    echo "create_main_cluster = false" >"$clusters"
    command -v pg_conftool >/dev/null || return 0
    [ "$(pg_conftool /etc/postgresql-common/createcluster.conf show -bs create_main_cluster)" = off ] ||
        fail "cannot keep the packaging from making a PostgreSQL cluster \`main\`" \
            "write \`create_main_cluster = false\` into /etc/postgresql-common/createcluster.conf for the time being"
}

put_back() {
    put_back_policy
    rm -f "$clusters"
    local directory
    for directory in $made_directories; do
        rmdir --ignore-fail-on-non-empty "$directory" 2>/dev/null || true
    done
}

# Also after a run that was killed before it could.
put_back_policy() {
    if [ -e "$policy" ] && grep -q howdah-setup "$policy"; then
        rm -f "$policy"
    fi
    if [ -e "$saved" ]; then
        mv "$saved" "$policy"
    fi
}

enabled_services() {
    command -v systemctl >/dev/null || return 0
    systemctl list-unit-files --type=service --state=enabled --no-legend 2>/dev/null |
        cut -d' ' -f1 | sort
}

# postgresql.service stays: without a cluster it starts nothing, and who makes one later
# expects it to.
disable_new_services() {
    local service
    comm -13 <(echo "$1") <(enabled_services) | while read -r service; do
        case $service in
            "" | postgresql.service) ;;
            *) systemctl disable --quiet "$service" ;;
        esac
    done
}

main "$@"
