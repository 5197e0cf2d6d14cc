#!/bin/bash
# SPDX-License-Identifier: ISC
# Tests the program from outside: as the OCaml program is tested, and its own HTTP.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
shared=$here/../../ocaml/packages_server
work=$(mktemp -d)
passed=0 failed=0 pid=
# shellcheck source=examples/ocaml/packages_server/http.sh
. "$shared/http.sh"
trap '[ -z "$pid" ] || kill -9 "$pid"; rm -rf "$work"' EXIT

check() { # what, expected, seen
  if [ "$2" = "$3" ]; then passed=$((passed + 1)); return; fi
  failed=$((failed + 1))
  printf 'FAILED: %s\n  expected: %s\n  seen:     %s\n' "$1" "$2" "$3"
}

raw() { # a request's bytes: the status of each answer
  exec 3<>"/dev/tcp/127.0.0.1/${url##*:}"
  # shellcheck disable=SC2059 # its escapes are meant
  printf "$1" >&3
  timeout 120 sed -n 's/^HTTP.1.1 \([0-9]*\).*/\1/p' <&3 | xargs
  exec 3>&-
}

# More clients than select can watch: those above the limit are refused, the others served.
crowd() {
  local i descriptor many=()
  for i in {1..1100}; do
    exec {descriptor}<>"/dev/tcp/127.0.0.1/${url##*:}" || break
    many+=("$descriptor")
  done
  for descriptor in "${many[@]}"; do eval "exec $descriptor>&-"; done
  echo "$i"
}

ulimit -S -n 4096
mkfifo "$work/url"
"$here/run.sh" import --db "$work/db" --list /var/lib/dpkg/status 2>"$work/log"
check "an import into a file says how many, in one line" 1 "$(grep -c '^import: [0-9]* packages$' "$work/log")"
check "and nothing else" 1 "$(wc -l <"$work/log")"
"$here/run.sh" serve --port 0 --db "$work/db" >"$work/url" 2>"$work/log" & pid=$!
read -r _ _ url <"$work/url"
check "two requests, sent at once" "200 404" \
  "$(raw 'GET /ping HTTP/1.1\r\n\r\nGET /no HTTP/1.1\r\nConnection: close\r\n\r\n')"
check "HTTP/1.0 closes" 200 "$(raw 'GET /ping HTTP/1.0\r\n\r\n')"
check "no HTTP at all" 400 "$(raw 'hello\r\n\r\n')"
check "a head without an end" 431 "$(raw "$(printf 'GET /ping HTTP/1.1\\r\\nA: %09000d' 0)")"
check "one connection for three requests" 1 \
  "$(curl -s -w '%{num_connects} ' "$url/ping" "$url/ping" "$url/ping" | grep -o '[01] ' | awk '{ n += $1 } END { print n }')"
check "a crowd" 1100 "$(crowd)"
check "and /ping after it" pong "$(get /ping)"
kill "$pid"; wait "$pid"
check "SIGTERM ends it well" 0 $?
pid=
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] || exit 1
SERVER=$here/run.sh POSTGRES=no PAGE=no exec "$shared/test.sh"
