#!/bin/sh
# Points a name at the primary by a dynamic update (RFC 2136): BIND, PowerDNS, Knot, Windows.
#
#   [hooks.dns]
#   on = ["on_role_change"]
#   command = ["/etc/howdah/hooks/nsupdate.sh", "ns1.example.com", "db.example.com.", "/etc/howdah/dns.key"]
#   timeout = "30s"
#   attempts = 5
#
# Arguments: the name server (with `PORT` in the environment if it is not 53), the name with its
# final dot, the file with the TSIG key, the time to live in seconds (default 10). Needs
# `nsupdate` (Debian: bind9-dnsutils). The key's file is readable by the user that runs Howdah.
#
# One update replaces the name as a whole, so repeating it is harmless.
set -eu

server=${1:?the name server}
name=${2:?the name that clients use}
key=${3:?the file with the TSIG key}
ttl=${4:-10}

# Only the node that has become the primary speaks; a standby has nothing to say.
[ "$HOWDAH_ROLE" = primary ] || exit 0

host=$HOWDAH_LEADER_HOST
case $host in
    *:*) type=AAAA ;;
    *[!0-9.]*) type=CNAME host=${host%.}. ;;
    *) type=A ;;
esac

nsupdate -k "$key" -t 10 <<UPDATE
server $server ${PORT:-53}
update delete $name
update add $name $ttl $type $host
send
UPDATE
echo "$name is $host now ($type, ttl $ttl)"
