#!/bin/bash
# SPDX-License-Identifier: ISC
#
# ends.sh SERVER STAT OCAML_WORKER HOW_LUA_RUNS: examples that SIGTERM ends, and a queue that is emptied.
# SERVER is the folder of a server that broker.sh started, which has the queue of shout; STAT is
# weir-remote-stat.
set -uo pipefail
server=$1 stat=$2 worker=$3 lua=$4
here=$(cd "$(dirname "$0")" && pwd)
url=$(cat "$server/url")
work=$(mktemp -d)
passed=0 failed=0 pids=()
# shellcheck source=remote/test/check.sh
. "$(dirname "$0")/check.sh"
trap '[ ${#pids[@]} = 0 ] || kill -9 "${pids[@]}" 2>/dev/null; rm -rf "$work"' EXIT

# What it says goes to descriptor 8, from its first line on.
start() { # FIRST_LINE COMMAND...
    local line
    mkfifo "$work/say"
    "${@:2}" >"$work/say" </dev/null & pids+=($!)
    exec 8<"$work/say"
    rm "$work/say"
    read -r line <&8
    [ "$line" = "$1" ] || { echo "$2 did not start: $line"; exit 1; }
}

waits() { "$stat" "$url" shout | awk '$1 == "weir.shout" { print $2 }'; }

# shellcheck disable=SC2086 # a command and its arguments
start waiting $lua "$here/../examples/client.lua" "$url" # no worker is there
until [ "$(waits)" = 3 ]; do kill -0 "${pids[0]}" || exit 1; done
kill "${pids[0]}"
check "a client that SIGTERM ends cancels its jobs" 3 "$(grep -c '^false	cancelled	' <&8)"
wait "${pids[0]}"; check "and ends well" 0 $?
check "a cancelled job stays in its queue" 3 "$(waits)"
"$here/broker.sh" purge "$server" weir.shout
check "which a purge empties" 0 "$(waits)"

start working "$worker" "$url"
exec 9<&8
# shellcheck disable=SC2086
start waiting $lua "$here/../examples/client.lua" "$url"
check "a client ends when it has its answers" "ONE! THREE! TWO!" "$(cut -f 2 <&8 | sort | paste -sd ' ')"
wait "${pids[2]}"; check "and well" 0 $?
kill "${pids[1]}"
check "SIGTERM ends the worker in OCaml" "" "$(cat <&9)"
wait "${pids[1]}"; check "and well, too" 0 $?
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
