#!/bin/sh
# Points a name in Amazon Route 53 at the primary.
#
#   [hooks.dns]
#   on = ["on_role_change"]
#   command = ["/etc/howdah/hooks/route53.sh", "Z0123456789ABC", "db.example.com", "10"]
#   timeout = "2min"
#   attempts = 5
#
# Arguments: the hosted zone's id, the name, its time to live in seconds (default 10).
# Needs the AWS CLI, and the right to `route53:ChangeResourceRecordSets` on the zone and to
# `route53:GetChange`: by the machine's role, or by what the user that runs Howdah has in
# ~/.aws or in its environment.
#
# The name must be free or of the same type: Route 53 has no CNAME beside an A record.
#
# Repeating it is harmless (UPSERT), so a second attempt after a lost answer is too. Howdah ends
# this script when the node is no longer the primary: an older primary never overwrites a newer.
set -eu

zone=${1:?the hosted zone\'s id}
name=${2:?the name that clients use}
ttl=${3:-10}

# Only the node that has become the primary speaks; a standby has nothing to say.
[ "$HOWDAH_ROLE" = primary ] || exit 0

# Route 53 has no regions; the command line may want one all the same.
export AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-us-east-1}"

host=$HOWDAH_LEADER_HOST
case $host in
    *:*) type=AAAA ;;
    *[!0-9.]*) type=CNAME ;;
    *) type=A ;;
esac

change=$(
    aws route53 change-resource-record-sets \
        --hosted-zone-id "$zone" \
        --change-batch "{
            \"Comment\": \"$HOWDAH_CLUSTER: $HOWDAH_NODE leads, term $HOWDAH_TERM\",
            \"Changes\": [{
                \"Action\": \"UPSERT\",
                \"ResourceRecordSet\": {
                    \"Name\": \"$name\",
                    \"Type\": \"$type\",
                    \"TTL\": $ttl,
                    \"ResourceRecords\": [{ \"Value\": \"$host\" }]
                }
            }]
        }" \
        --query ChangeInfo.Id --output text
)

# Done when Amazon's servers answer with it, as a rule within a minute.
aws route53 wait resource-record-sets-changed --id "$change"
echo "$name is $host now ($type, ttl $ttl)"
