#!/bin/bash
# SPDX-License-Identifier: ISC
# Tests the program from outside: what it imports, answers, refuses, and leaves behind.
# SERVER names a built program; without it, builds one. POSTGRES=no: it knows SQLite only.
# PAGE=no: it has no page for a person, and is not ended by a request.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
server=${SERVER:-$("$here/build.sh")} || exit 1
list=/var/lib/dpkg/status
work=$(mktemp -d)
passed=0 failed=0 skipped=0
# shellcheck source=examples/ocaml/packages_server/http.sh
. "$here/http.sh"
# shellcheck source=examples/ocaml/packages_server/test_postgres.sh
. "$here/test_postgres.sh"

cleanup() {
  trap '' INT TERM
  local running; running=$(jobs -p)
  # shellcheck disable=SC2086
  [ -z "$running" ] || kill $running 2>/dev/null
  stop_postgres
  wait
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

check() { # what, expected, seen
  if [ "$2" = "$3" ]; then passed=$((passed + 1)); return; fi
  failed=$((failed + 1))
  printf 'FAILED: %s\n  expected: %s\n  seen:     %s\n' "$1" "$2" "$3"
}

skip() { skipped=$((skipped + 1)); echo "skipped: $1"; }

# ---- the server ----

start() { # its options; sets pid and url
  "$server" serve --port 0 "$@" >"$work/url" 2>"$work/log" & pid=$!
  read -r _ _ url <"$work/url"
}

stop() { # how many connections it should have opened and closed
  kill "$pid"; wait "$pid"
  check "SIGTERM ends it well" 0 $?
  check "every connection was opened" "$1" "$(grep -c '^connection opened' "$work/log")"
  check "every connection was closed" "$1" "$(grep -c '^connection closed' "$work/log")"
  check "its port is free again" refused "$(get /ping 2>/dev/null || echo refused)"
}

total() { get "/search?q=$(encoded "$1")" | sed -n '1s/ found$//p'; }

# What a search must find, by other means: no SQL, no OCaml.
expected() {
  awk -v text="$1" 'BEGIN { RS = ""; FS = "\n"; text = tolower(text) }
    { seen = 0
      for (i = 1; i <= NF; i++)
        if ($i ~ /^(Package|Description|Depends|Homepage|Maintainer|Provides|Section|Tag): /) {
          value = $i
          if (value ~ /^(Package|Description): /) sub(/^[^:]*: /, "", value)
          if (index(tolower(value), text)) seen = 1
        }
      found += seen }
    END { print found + 0 }' "$list"
}

# ---- what it must do, whatever the database ----

imported() { # its options: prints how many packages it says that it imported
  "$server" import "$@" 2>"$work/progress" || return
  sed -n 's/^import: \(.*\) packages$/\1/p' "$work/progress"
}

overwrites() { # how many packages, the store's options
  local all=$1; shift
  script -qec true /dev/null </dev/null >/dev/null 2>&1 || { skip "a terminal: none can be made here"; return; }
  script -qec "'$server' import $(printf "'%s' " "$@" --list $list)" /dev/null </dev/null >"$work/progress"
  check "on a terminal it overwrites its line" "$all" "$(grep -o $'\rimport: [0-9]*' "$work/progress" | tail -n 1 | tr -dc 0-9)"
}

imports() { # the store's options
  local all; all=$(grep -c '^Package: ' $list)
  check "an import tells how many" "$all" "$(imported "$@" --list $list)"
  gzip -c $list >"$work/list.gz"
  overwrites "$all" "$@"
  check "a compressed list" "$all" "$(imported "$@" --list "$work/list.gz")"
  "$server" import "$@" --list $list --list "$work/missing" 2>"$work/log"
  check "a missing list fails the import" 1 $?
  "$server" import "$@" --list $list --list "$work/missing.gz" 2>"$work/log"
  check "a missing compressed list fails the import" 1 $?
}

cat_all() { local i; for i; do /usr/lib/apt/apt-helper cat-file "$i"; done; }

# APT_CONFIG tells apt, which the program asks, of other lists than the machine's.
chooses_its_lists() {
  local apt_lists
  # shellcheck disable=SC2016
  mapfile -t apt_lists < <(apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages')
  echo "Dir::State::lists \"$work/none/\";" >"$work/apt.conf"
  check "without apt's lists dpkg's" "$(grep -c '^Package: ' $list)" \
    "$(APT_CONFIG=$work/apt.conf imported --db "$work/other")"
  if [ "${#apt_lists[@]}" = 0 ]; then skip "apt's lists: none here"; return; fi
  check "apt's lists" "$(cat_all "${apt_lists[@]}" | grep -c '^Package: ')" \
    "$(imported --db "$work/other")"
}

answers() {
  local text
  check "/ping" pong "$(get "/ping")"
  for text in dpkg DPKG 'the ' "xyzzy no such" % _ "'" ! '"' \\ %% "';--" g++ é; do
    check "search for $text" "$(expected "$text")" "$(total "$text")"
  done
  check "a search lists 20 at most" 21 "$(get "/search?q=a" | wc -l)"
  check "a search names packages" $'dpkg\tDebian package management system' \
    "$(get "/search?q=debian%20package%20management" | cut -f1,3 | sed -n 2p)"
  check "many at once" "$(yes "$(expected lib)" | head -20)" "$(many_at_once lib)"
}

many_at_once() {
  local i asking=()
  for i in {1..20}; do total "$1" >"$work/many.$i" & asking+=($!); done
  wait "${asking[@]}"
  cat "$work"/many.*
}

refuses() {
  check "search without q" 400 "$(status "/search")"
  check "search for nothing" 400 "$(status "/search?q=")"
  check "a q of 100 bytes" 200 "$(status "/search?q=$(printf 'a%.0s' {1..100})")"
  check "a q of 101 bytes" 400 "$(status "/search?q=$(printf 'a%.0s' {1..101})")"
  check "a q that is not UTF-8" 400 "$(status "/search?q=%ff")"
  check "a q with half a character" 400 "$(status "/search?q=a%c3")"
  check "a q with an overlong character" 400 "$(status "/search?q=%c0%80")"
  check "a q with a surrogate" 400 "$(status "/search?q=%ed%a0%80")"
  check "a q with a NUL" 400 "$(status "/search?q=a%00b")"
  check "an unknown route" 404 "$(status "/nothing")"
  check "a POST" 405 "$(status "/search?q=a" POST)"
}

# A client that leaves without reading must not hurt the others.
survives_lost_clients() {
  local i
  for i in {1..50}; do
    ask "/search?q=a"
    exec 3>&-
  done
  check "/ping after lost clients" pong "$(get "/ping")"
}

serves() { # connections, options
  start "${@:2}"
  answers
  refuses
  survives_lost_clients
  stop "$1"
  check "it said nothing else" "" "$(grep -v '^connection ' "$work/log")"
}

# ---- SQLite's own ----

# With the database locked from outside a search stays under way for as long as we like.
finishes_what_is_under_way() {
  local locker_pid
  start --db "$work/db" --threads 1
  coproc locker { sqlite3 "$work/db"; }
  # shellcheck disable=SC2154
  locker_pid=$locker_PID
  echo 'BEGIN EXCLUSIVE; SELECT 1;' >&"${locker[1]}"
  read -r <&"${locker[0]}"
  ask "/search?q=dpkg"
  # Connections are accepted in order: once the ping is answered, the search has begun.
  check "the loop is free while the database is locked" pong "$(get "/ping")"
  kill "$pid"
  while get /ping >/dev/null 2>&1; do :; done
  echo 'COMMIT;' >&"${locker[1]}"
  check "a search under way is answered after SIGTERM" "$(expected dpkg) found" \
    "$(answer | grep 'found$')"
  exec 3>&-
  wait "$pid"
  check "and then the server ends well" 0 $?
  eval "exec ${locker[1]}>&-"
  wait "$locker_pid"
}

serves_a_page() {
  start --db "$work/db" --threads 1 --both
  check "its page" "Debian's packages" "$(get / | sed -n 's:<title>\(.*\)</title>:\1:p')"
  for on in pool loop; do
    check "JSON, on the $on" "{\"total\":$(expected dpkg),\"first\":[{\"name\":" \
      "$(get "/search?q=dpkg&as=json&on=$on" | grep -o '^{"total":[0-9]*,"first":\[{"name":')"
  done
  check "a stop by GET" 405 "$(status /stop)"
  check "a stop by POST" 200 "$(status /stop POST)"
  wait "$pid"
  check "ends it well" 0 $?
  check "both connections were closed" 2 "$(grep -c '^connection closed' "$work/log")"
}

# ---- what it must refuse ----

fails() { # what, expected words, options of a server that cannot start
  local said; said=$(timeout 60 "$server" serve --port 0 "${@:3}" 2>&1)
  check "$1: exit status" 1 $?
  check "$1: says so" "$2" "$(grep -o "$2" <<<"$said")"
}

fails_clearly() {
  fails "no database" "unable to open database file" --db "$work/none"
  fails "no table" "no such table: packages" --db /dev/null
  fails "no thread" "threads" --db "$work/db" --threads 0
  [ "${POSTGRES-}" = no ] || fails "no PostgreSQL" "PostgreSQL" --postgres "host=$work"
  start --db "$work/db"
  fails "a port in use" "ddress already in use" --db "$work/db" --port "${url##*:}"
  stop 2
  "$server" 2>"$work/log"; check "no command" 2 $?
}

# beside a server that build.sh built
if interrupts=$(dirname "$server")/interrupt_test.exe && [ -x "$interrupts" ]; then
  check "a timeout interrupts a query whenever it comes" \
    "timed out: true, between: true, 3000 times: true, exec: true, rolled back: true, failures: 0, then 42" \
    "$(timeout 120 "$interrupts" 2>&1)"
else
  skip "a timeout that interrupts a query: no interrupt_test.exe beside the server"
fi
mkfifo "$work/url"
chooses_its_lists
imports --db "$work/db"
serves 3 --db "$work/db" --threads 3
serves 1 --db "$work/db" --on-loop
[ "${PAGE-}" = no ] || serves_a_page
fails_clearly
if command -v sqlite3 >/dev/null; then finishes_what_is_under_way
else skip "searches under way at SIGTERM: no sqlite3 command"; fi
# shellcheck disable=SC2154
if [ "${POSTGRES-}" = no ]; then :
elif start_postgres; then
  imports --postgres "$conninfo"
  serves 3 --postgres "$conninfo" --threads 3
  outlives_its_database
else
  skip "PostgreSQL: its server or its OCaml library is not installed"
fi
printf '%d passed, %d failed' "$passed" "$failed"
[ "$skipped" = 0 ] || printf ', %d skipped' "$skipped"
echo
[ "$failed" = 0 ]
