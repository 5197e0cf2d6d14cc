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

# The same for a program that serves until SIGTERM.
served() { # NAME NEEDED-MODULES ARGUMENTS...
  local name=$1 modules=$2 line out="" pid folder
  shift 2
  if ! has "$modules"; then
    echo "skipped: $name under $interpreter: not all of $modules"
    skipped=$((skipped + 1))
    return
  fi
  folder=$(mktemp -d)
  mkfifo "$folder/said"
  # --foreground: otherwise timeout passes the signal on twice, and the second one kills
  timeout --foreground 120 ./with_weir.sh "$interpreter" "$interpreter" "$name.lua" "$@" >"$folder/said" 2>&1 &
  pid=$!
  while read -r line; do
    out+=$line$'\n'
    [ "$line" != serving ] || kill -TERM "$pid"
  done <"$folder/said"
  wait "$pid"
  rm -r "$folder"
  if diff "expected/$name.txt" <(printf %s "$out"); then
    passed=$((passed + 1))
  else
    echo "$name under $interpreter: FAILED (the difference above)"
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
  served on_sigterm 'copas luasql.sqlite3' "$(mktemp)"
  example on_luv luv
  example luv_work luv
  example luv_progress luv ../c/input/pool.txt ../c/input/reach.txt
  example on_cqueues cqueues
  example on_http "cqueues http.server http.request"
}

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
