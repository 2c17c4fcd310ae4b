#!/bin/sh
# Installs what Howdah is measured against (Debian's Patroni, etcd, HAProxy) without starting
# any service: the benchmark runs them as scratch processes below /tmp.
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends patroni etcd-server etcd-client haproxy
