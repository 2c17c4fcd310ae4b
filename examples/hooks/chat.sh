#!/bin/sh
# Says in a chat what has happened: Slack, Mattermost, Rocket.Chat, or Discord (its address with
# `/slack` at the end).
#
#   [hooks.chat]
#   on = ["on_leader_change", "on_node_lost", "on_node_back", "on_problem", "on_pause", "on_resume"]
#   command = ["/etc/howdah/hooks/chat.sh", "/etc/howdah/chat.address"]
#
# Argument: a file that holds the incoming webhook's address, which is a secret: readable only by
# the user that runs Howdah. Needs curl.
#
# Without this script: `webhook = "https://..."` posts the same text, and everything else that
# Howdah knows of the event beside it, for receivers that pass over fields they do not know.
set -eu

address=$(cat "${1:?the file with the address}")

# As JSON: no control characters, backslashes and quotes escaped.
text=$(printf '%s' "$HOWDAH_TEXT" | tr '[:cntrl:]' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g')

# The address goes in by stdin, where a list of processes does not show it.
printf 'url = "%s"\n' "$address" |
    curl --config - --silent --show-error --fail --max-time 8 \
        --header 'Content-Type: application/json' \
        --header "Idempotency-Key: $HOWDAH_FIRING_ID" \
        --data "{\"text\": \"$text\"}" \
        --output /dev/null
