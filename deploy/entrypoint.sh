#!/bin/sh
# One container is one machine. The first founds the cluster and leaves a token for each of the
# others; they join by it, once. After that every start is the same.
#
#   HOWDAH_NODE     the node that this container is
#   HOWDAH_INVITE   on the first only: the nodes that are to join
set -eu

node=${HOWDAH_NODE:?name the node of this container}
written=/etc/howdah/howdah.toml
base=/var/lib/howdah/demo
tokens=/run/howdah-tokens
# A container that waits for its token, or for the first node to listen: tries of two seconds.
tries_max=150

main() {
    if [ ! -e "$base/tls/$node.crt" ]; then
        if [ -n "${HOWDAH_INVITE:-}" ]; then found; else join; fi
    fi
    exec howdah run --node "$node" --file "$base/howdah.toml"
}

found() {
    howdah prepare --node "$node" --file "$written"
    umask 077
    for other in $HOWDAH_INVITE; do
        howdah token create "$other" --valid 1d --file "$base/howdah.toml" > "$tokens/.$other"
        mv "$tokens/.$other" "$tokens/$other"
    done
}

join() {
    tries=0
    until [ -e "$tokens/$node" ] && howdah join - --node "$node" < "$tokens/$node"; do
        tries=$((tries + 1))
        [ "$tries" -lt "$tries_max" ] || { echo "entrypoint: no way in for $node" >&2; exit 1; }
        sleep 2
    done
    rm -f "$tokens/$node"
}

main
