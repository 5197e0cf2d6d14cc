#!/bin/bash
# SPDX-License-Identifier: ISC
# Shows what a pool does for an event loop: a server on Lwt and one on Copas, each
# searching first on its loop and then through a pool, under the same load. Fails unless
# each loop gains tenfold.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
example=$root/examples/ocaml/packages_server
seconds=12 clients=24 needed=10
# shellcheck source=examples/ocaml/packages_server/http.sh
. "$example/http.sh"

fail() { echo "demo: $*" >&2; exit 1; }

work=$(mktemp -d)
cleanup() {
  trap '' INT TERM
  local running; running=$(jobs -p)
  # shellcheck disable=SC2086
  [ -z "$running" ] || kill $running 2>/dev/null || true
  wait || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_server() { # its options; sets pid and url
  "$server" serve --db "$work/$name.db" --port 0 "$@" >"$work/url" 2>"$work/log" & pid=$!
  read -r _ _ url <"$work/url" || { cat "$work/log" >&2; fail "the server did not start"; }
}

stop_server() {
  kill "$pid" 2>/dev/null || true
  wait "$pid" || { cat "$work/log" >&2; fail "the server ended badly"; }
  ! grep -v '^connection ' "$work/log" >&2 || fail "the server complained"
}

start_load() { # what to ask for, how many connections; its pid is $!
  wrk -t1 -c"$2" -d"${seconds}s" --timeout 60s -s "$example/load.lua" "$url" -- "$1" \
    >"$work/$1" 2>&1 &
}

end_load() { # pid, what was asked for; adds wrk's figures to the row and its errors to the sum
  wait "$1" || { cat "$work/$2" >&2; fail "wrk failed"; }
  local requests failed p50 p99
  read -r _ requests failed p50 p99 < <(grep '^result ' "$work/$2")
  [ "$requests" != 0 ] || [ "$2" = ping ] || fail "no search was answered"
  [ "$requests" != 0 ] || p50=- p99=- # a loop that never came round to it
  errors=$((errors + failed))
  row+=$(printf '   %8s %6s %8s %8s' "$requests" "$failed" "$p50" "$p99")
}

measure() { # title, the server's options; leaves $gap, $row and one search's $answer
  local search ping
  row=$(printf '%-18s' "$name $1")
  echo "$name $1: $clients clients search for $seconds s"
  shift
  start_server "$@"
  answer=$(get "/search?q=editor")
  get /heartbeat >/dev/null # forgets what came before
  start_load search "$clients"; search=$!
  start_load ping 1; ping=$!
  end_load "$search" search
  end_load "$ping" ping
  gap=$(get /heartbeat) || fail "the server does not answer any more"
  row+=$(printf '   %9s' "$gap")
  rows+=$row$'\n'
  stop_server
}

compare() { # name, server: measures it both ways
  local loop_gap loop_answer
  name=$1 server=$2
  "$server" import --db "$work/$name.db"
  measure "on the loop" --on-loop
  loop_gap=$gap loop_answer=$answer
  measure "pool of 2" --threads 2
  [ "$answer" = "$loop_answer" ] || fail "the two answers to one search differ"
  answers+=("$answer")
  gains+=("$name $loop_gap $gap")
}

# With the few hundred packages that dpkg knows of, a search would be too short.
need_lists() {
  ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || return 0
  [ "$(id -u)" = 0 ] || fail "no package lists here: as root, run apt-get update first"
  echo "fetching apt's package lists"
  apt-get -qq update || fail "apt-get update failed"
}

"$root/.ci/need" demo
need_lists
mkfifo "$work/url"
errors=0 rows="" gains=() answers=()
server=$("$example/build.sh")
compare OCaml "$server"
compare Lua "$root/examples/lua/packages_server/run.sh"

printf '\n%18s   ----------- searches ------------   ------------- /ping -------------   heartbeat\n' ''
printf '%18s   %8s %6s %8s %8s   %8s %6s %8s %8s   %9s\n' '' \
  requests errors 'p50 ms' 'p99 ms' requests errors 'p50 ms' 'p99 ms' 'worst ms'
printf '%s\n' "$rows"

[ "$errors" = 0 ] || fail "$errors errors"
[ "${answers[0]}" = "${answers[1]}" ] || fail "OCaml and Lua answer one search differently"
for gain in "${gains[@]}"; do
  read -r name loop_gap gap <<<"$gain"
  awk -v name="$name" -v loop="$loop_gap" -v pool="$gap" -v needed="$needed" 'BEGIN {
    printf "%s: with the pool, the loop'"'"'s worst gap is %.0f times smaller (wanted: %d).\n", name, loop / pool, needed
    exit !(loop >= needed * pool) }' || fail "the pool did not free the loop"
done
