#!/bin/bash
# SPDX-License-Identifier: ISC
#
# run.sh [INTERPRETER]: runs each example and compares its output with the expected one,
# under one of lua5.1 ... lua5.5, luajit, or all installed. Prints "N passed, N failed".
set -u
cd "$(dirname "$0")" || exit 2
passed=0 failed=0 skipped=0

has() { # MODULES
  local module
  for module in $1; do
    ./with_weir.sh "$interpreter" "$interpreter" -e "require '$module'" 2>/dev/null || return
  done
}

example() { # NAME NEEDED-MODULES ARGUMENTS...
  local name=$1 modules=$2 out
  shift 2
  if ! has "$modules"; then
    echo "skipped: $name under $interpreter: not all of $modules"
    skipped=$((skipped + 1))
    return
  fi
  # timeout: an example that misses its last delivery would never end
  if out=$(timeout 120 ./with_weir.sh "$interpreter" "$interpreter" "$name.lua" "$@" 2>&1) &&
    diff "expected/$name.txt" <(echo "$out"); then
    passed=$((passed + 1))
  else
    echo "$name under $interpreter: FAILED (exit or timeout, or the difference above)"
    failed=$((failed + 1))
  fi
}

# The same for a program that serves: SIGNAL is sent to it at each line that LINES matches.
served() { # NAME EXPECTED SIGNAL LINES NEEDED-MODULES ARGUMENTS...
  local name=$1 expected=$2 signal=$3 lines=$4 modules=$5 line out="" pid folder code=0
  shift 5
  if ! has "$modules"; then
    echo "skipped: $expected under $interpreter: not all of $modules"
    skipped=$((skipped + 1))
    return
  fi
  folder=$(mktemp -d)
  mkfifo "$folder/said"
  # --foreground: otherwise timeout passes the signal on twice, and the second one kills. A shell
  # has what it starts with & ignore INT, and newer timeouts keep to that.
  env --default-signal=INT timeout --foreground 120 ./with_weir.sh "$interpreter" "$interpreter" "$name.lua" "$@" >"$folder/said" 2>&1 &
  pid=$!
  while read -r line; do
    out+=$line$'\n'
    [[ ! $line =~ ^($lines)$ ]] || kill -"$signal" "$pid"
  done <"$folder/said"
  wait "$pid" || code=$?
  [ "$code" = 0 ] || out+="ended with $code"$'\n'
  rm -r "$folder"
  if diff "expected/$expected.txt" <(printf %s "$out"); then
    passed=$((passed + 1))
  else
    echo "$expected under $interpreter: FAILED (the difference above)"
    failed=$((failed + 1))
  fi
}

examples() {
  example guide luasql.sqlite3 "$(mktemp)"
  example no_loop weir ../c/input/pool.txt ../c/input/missing.txt ../c/input/reach.txt
  example stats weir
  example progress weir
  example hash weir ../c/input/pool.txt ../c/input/missing.txt ../c/input/reach.txt
  example on_copas 'copas luasql.sqlite3'
  served on_sigterm on_sigterm TERM serving 'copas luasql.sqlite3' "$(mktemp)"
  served on_sigterm on_sigterm INT serving 'copas luasql.sqlite3' "$(mktemp)"
  example timeout lsqlite3
  example transaction lsqlite3 "$(mktemp)"
  served on_sigint on_sigint INT serving luv 0.01
  served on_sigint on_sigint_twice INT 'serving|stopping' luv 1000
  example on_luv luv
  example luv_work luv
  example luv_progress luv ../c/input/pool.txt ../c/input/reach.txt
  example on_cqueues cqueues
  example on_http "cqueues http.server http.request"
}

../../tools/lsqlite3 "${WEIR_BUILD:-$(cd ../.. && pwd)/_build}/lua-examples" || echo "lsqlite3 cannot be had here"
[ $# -gt 0 ] || set -- lua5.1 lua5.2 lua5.3 lua5.4 lua5.5 luajit
for interpreter; do
  command -v "$interpreter" >/dev/null || continue
  ./with_weir.sh "$interpreter" true
  case $? in
  0) examples ;;
  3) echo "skipped: $interpreter: no headers of it"; skipped=$((skipped + 1)) ;;
  *) echo "weir does not build for $interpreter"; failed=$((failed + 1)) ;;
  esac
done
printf '%d passed, %d failed' "$passed" "$failed"
[ "$skipped" = 0 ] || printf ', %d skipped' "$skipped"
echo
[ "$failed" = 0 ]
