#!/bin/bash
# SPDX-License-Identifier: ISC
#
# packages.sh URL OCAML_PROGRAM LUA_PROGRAM: the packages search of examples/, served by a client
# program whose searches run in three worker processes, two in OCaml and one in Lua. While one
# asks, workers are killed with -9 and started again: each search is answered as it was before.
set -uo pipefail
farm=$1
ocaml=$2 lua=$3
work=$(mktemp -d)
passed=0 failed=0 pids=() worker=()
# shellcheck source=remote/test/check.sh
. "$(dirname "$0")/check.sh"
# shellcheck source=examples/ocaml/packages_server/http.sh
. "$(dirname "$0")/../../examples/ocaml/packages_server/http.sh"
trap 'kill -9 "${pids[@]}" "${worker[@]}" 2>/dev/null; rm -rf "$work"' EXIT

program() { # LANGUAGE ARGUMENTS...
    if [ "$1" = ocaml ]; then exec "$ocaml" "${@:2}"; else exec bash -c "exec $lua \"\$@\"" lua "${@:2}"; fi
}

start_worker() { # its number
    local language=ocaml line
    [ "$1" != 2 ] || language=lua
    program $language worker --remote "$farm" --db "$work/db" --threads 1 >"$work/say.$1" 2>>"$work/log" &
    worker[$1]=$!
    read -r line <"$work/say.$1"
    [ "$line" = working ] || { cat "$work/log"; echo "worker $1 did not start"; exit 1; }
}

start_server() { # LANGUAGE OPTIONS...; sets pid and url
    program "$1" serve --port 0 "${@:2}" >"$work/url" 2>>"$work/log" & pid=$!
    pids=("$pid")
    read -r _ _ url <"$work/url"
}

# The total, and a sum over all that it names.
found() { get "/search?q=$(encoded "$1")" | { read -r total _; echo "$total $(cksum)"; }; }
all_found() { local text; for text in dpkg lib editor 'the ' xyzzy é; do found "$text"; done; }

mkfifo "$work/url" "$work/say.0" "$work/say.1" "$work/say.2"
"$ocaml" import --db "$work/db" --list /var/lib/dpkg/status 2>"$work/log" || { cat "$work/log"; exit 1; }
start_server ocaml --db "$work/db" --threads 1
expected=$(all_found)
kill "$pid"; wait "$pid"

for i in 0 1 2; do start_worker $i; done
for language in ocaml lua; do
    start_server $language --remote "$farm"
    check "$language: three workers find what one program finds" "$expected" "$(all_found)"
    (until [ -e "$work/enough" ]; do [ "$(all_found)" = "$expected" ] || exit 1; done) & asking=$!
    for i in 0 1 2; do
        kill -9 "${worker[$i]}"
        wait "${worker[$i]}" 2>/dev/null
        start_worker $i
    done
    touch "$work/enough"
    wait $asking
    check "$language: and while workers are killed" 0 $?
    rm "$work/enough"
    kill "$pid"; wait "$pid"
    check "$language: SIGTERM ends the client well" 0 $?
done
for i in 0 1 2; do
    kill "${worker[$i]}"; wait "${worker[$i]}"
    check "SIGTERM ends worker $i well" 0 $?
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] || cat "$work/log"
[ "$failed" = 0 ]
