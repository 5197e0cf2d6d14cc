#!/bin/bash
# SPDX-License-Identifier: ISC
# Shows what a pool does for an event loop. A server on Lwt and one on Copas each search
# first on their loop and then through a pool, under the same load. Fails unless
# each loop gets at least ten times better.
set -euo pipefail
cd "$(dirname "$0")/.."
example=examples/ocaml/packages_server
seconds=12 clients=24 needed=10
step=0 steps=6
pages=${WEIR_BUILD:-_build}/demo
pings=$((seconds * 100)) # load.lua asks 10 ms after each answer
# shellcheck source=examples/ocaml/packages_server/http.sh
. "$example/http.sh"

fail() { echo "demo: $*" >&2; exit 1; }
begins() { step=$((step + 1)); echo "$step/$steps $*"; }

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

measure() { # title, the server's options; leaves $gap and one search's $answer
  local search ping title=$1 began
  row=$(printf '%-18s' "$name, $1")
  begins "$name, $1: $seconds s"
  shift
  start_server "$@"
  answer=$(get "/search?q=editor")
  get /heartbeat >/dev/null # forgets what came before
  began=$(date +%s.%3N)
  start_load search "$clients"; search=$!
  start_load ping 1; ping=$!
  end_load "$search" search
  end_load "$ping" ping
  get /heartbeat >"$work/gaps" || fail "the server does not answer any more"
  read -r gap <"$work/gaps"
  {
    echo "run $name $title"
    echo "began $began"
    grep -h '^result ' "$work/search"
    grep -hE '^(ping|waiting) ' "$work/ping" || true # a loop that never came round to one
    grep '^gap ' "$work/gaps" || true
  } >>"$work/timeline"
  row+=$(printf '   %10s' "$gap")
  rows+=$row$'\n'
  stop_server
}

compare() { # name, server: measures it both ways
  local loop_gap loop_answer
  name=$1 server=$2
  begins "$name: a task of a pool imports what apt knows"
  "$server" import --db "$work/$name.db"
  measure "on the loop" --on-loop
  loop_gap=$gap loop_answer=$answer
  measure "pool of 2" --threads 2
  [ "$answer" = "$loop_answer" ] || fail "the two answers to one search differ"
  answers+=("$answer")
  gains+=("$name $loop_gap $gap")
}

# A search over the few hundred packages that dpkg knows would be too short.
need_lists() {
  ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || return 0
  [ "$(id -u)" = 0 ] || fail "no package lists here: as root, run apt-get update first"
  echo "fetching apt's package lists"
  apt-get -qq update || fail "apt-get update failed"
}

# wrk's p99 knows only what was answered; the page's sentence counts a ping that never was.
conclude() { # name, the loop's worst gap without and with a pool
  sed -n "/^<h2>A server on $1</,/^<p/s/^<p class=\"said\">\(.*\)<\/p>/$1: \1/p" "$pages/index.html"
  awk -v name="$1" -v loop="$2" -v pool="$3" -v needed="$needed" 'BEGIN {
    printf "%s: the loop stood still for up to %.0f ms; with a pool for %.0f ms, %.0f times less.\n",
      name, loop, pool, loop / pool
    exit !(loop >= needed * pool) }' || fail "that is not $needed times less"
}

line_of() { # what, file
  local n; n=$(grep -n "$1" "$2") || fail "$2 has no $1"
  echo "  $2:${n%%:*}"
}

tools/need demo
need_lists
mkfifo "$work/url"
errors=0 rows="" gains=() answers=()
server=$("$example/build.sh")
cat <<END
An HTTP server searches Debian's packages in SQLite; one is written in OCaml on Lwt, one
in Lua on Copas. For $seconds s wrk asks each of them, first with the searches on the loop's
thread and then through a pool,
  for a search: $clients clients, each again as soon as it is answered;
  for /ping: one client, each time 10 ms after the last answer, so at most $pings times.

END
compare Lwt "$server"
compare Copas examples/lua/packages_server/run.sh

printf '\n%18s   ----------- searches ------------   ------- /ping, at most %-4s -------   loop stood\n' '' "$pings"
printf '%18s   %8s %6s %8s %8s   %8s %6s %8s %8s   %10s\n' '' \
  answered errors 'p50 ms' 'p99 ms' answered errors 'p50 ms' 'p99 ms' 'worst ms'
printf '%s\n' "$rows"

[ "$errors" = 0 ] || fail "$errors errors"
[ "${answers[0]}" = "${answers[1]}" ] || fail "the two servers answer one search differently"
mkdir -p "$pages"
cp "$work/timeline" "$pages/timeline"
examples/demo_page.pl "$seconds" "$clients" <"$work/timeline" >"$pages/index.html"
for gain in "${gains[@]}"; do
  # shellcheck disable=SC2086
  conclude $gain
done
echo "The lines that made the difference begin here:"
line_of '^let in_pool' "$example/finder.ml"
line_of '^function finder.in_pool' examples/lua/packages_server/finder.lua
echo
echo "The same as a picture: $pages/index.html"
if [ -z "${SERVE-}" ]; then
  echo "To feel it yourself: make demo SERVE=1 leaves a server running"
  exit
fi
name=Lwt server=$("$example/build.sh")
start_server --both
echo "Open $url and type. The page's button ends the server, or ^C."
wait "$pid"
