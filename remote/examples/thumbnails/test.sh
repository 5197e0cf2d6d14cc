#!/bin/bash
# SPDX-License-Identifier: ISC
#
# test.sh URL C_WORKER HOW_LUA_RUNS: the farm on generated images. Workers are killed with -9 while
# it works, then everything is; what is started again makes what is missing, and nothing twice.
set -uo pipefail
url=$1 c_worker=$2 lua=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
images=40 passed=0 failed=0 pids=() client=
trap '[ ${#pids[@]} = 0 ] || kill -9 "${pids[@]}" $client 2>/dev/null; rm -rf "$work"' EXIT

check() { # what, expected, seen
    if [ "$2" = "$3" ]; then passed=$((passed + 1)); return; fi
    failed=$((failed + 1))
    printf 'FAILED: %s\n  expected: %s\n  seen:     %s\n' "$1" "$2" "$3"
}

start() { # COMMAND...: a worker, its number is the next
    local line
    (cd "$work" && exec "$@") >"$work/say" 2>>"$work/log" </dev/null & pids+=($!)
    read -r line <"$work/say"
    [ "$line" = working ] || { cat "$work/log"; echo "a worker did not start"; exit 1; }
}
start_workers() {
    pids=()
    start "$c_worker" "$url"
    start "$c_worker" "$url"
    # shellcheck disable=SC2086 # a command and its arguments
    start $lua "$here/worker.lua" "$url"
}
begin_client() {
    # shellcheck disable=SC2086
    (cd "$work" && exec $lua "$here/client.lua" "$url" images thumbs 64) >"$work/progress" 2>>"$work/log" & client=$!
}
made() { find "$work/thumbs" -name '*.png' ! -name '*.part.png' | wc -l; }
until_made() { # N
    while [ "$(made)" -lt "$1" ]; do kill -0 "$client" 2>/dev/null || return; done
}
sums() { (cd "$work/thumbs" && find . -name '*.png' ! -name '*.part.png' -printf '%i %T@ %p\n' | sort); }

mkdir "$work/images" "$work/thumbs"
mkfifo "$work/say"
vips gaussnoise "$work/noise.png" 1200 900 || exit 1
for i in $(seq 2 $images); do ln "$work/noise.png" "$work/images/$i.png"; done
mkfifo "$work/images/1.png" # which lasts until it is an image, so that the kill is in the middle

start_workers
begin_client
until_made 5
kill -9 "${pids[0]}"
until_made 10
kill -9 "${pids[@]}" "$client" 2>/dev/null
wait 2>/dev/null
exec 8<>"$work/images/1.png"
exec 8>&- # so ends a vipsthumbnail that was left alone with it
ln -f "$work/noise.png" "$work/images/1.png"
before=$(sums)
check "everything was killed in the middle" yes "$([ "$(made)" -lt $images ] && echo yes)"

start_workers
begin_client
wait "$client"
check "the client ends well" 0 $?
check "each image has its thumbnail" $images "$(made)"
check "what was made before was not written again" "" "$(comm -23 <(echo "$before") <(sums))"
check "each is 64 wide" "64" "$(find "$work/thumbs" -name '*.png' ! -name '*.part.png' -exec vipsheader -f width {} \; | sort -u)"
begin_client
wait "$client"
check "another run has nothing to do" "0 of 0 made, 0 were there, 0 failed" "$(tr -d '\r\n' <"$work/progress")"
kill "${pids[0]}" "${pids[1]}"
wait "${pids[0]}"; check "SIGTERM ends a worker well" 0 $?
wait "${pids[1]}"; check "and the other" 0 $?
kill "${pids[2]}"
wait "${pids[2]}"; check "and the one in Lua" 0 $?
check "no part is left" 0 "$(find "$work/thumbs" -name '*.part.png' | wc -l)"
[ "$failed" = 0 ] || cat "$work/log"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
