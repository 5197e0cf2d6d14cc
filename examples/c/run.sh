#!/bin/bash
# SPDX-License-Identifier: ISC
#
# run.sh BUILD: runs each example in BUILD (example_poll, ...) and compares its output
# with the expected one, except for times; then prints "N passed, N failed".
set -u
build=$(realpath "${1:?usage: run.sh BUILD}")
cd "$(dirname "$0")" || exit 2
passed=0 failed=0 skipped=0

compare() { # NAME COMMAND...
    local name=$1 out
    shift
    if out=$("$@" 2>&1) &&
        diff "expected/$name.txt" <(sed 's/[0-9]* us/N us/g' <<<"$out"); then
        echo "$name: as expected"
        passed=$((passed + 1))
    else
        echo "$name: FAILED (exit or timeout, or the difference above)"
        failed=$((failed + 1))
    fi
}

example() { # NAME ARGS...
    local name=$1
    shift
    # timeout: an example that misses its last delivery would never end
    compare "$name" timeout 120 "$build/example_$name" "$@"
}

# The shell in between sends SIGTERM once both lines are answered; its input stays open.
stopped_by_sigterm() {
    coproc { exec timeout 120 "$build/example_sigterm"; }
    printf 'weir\nin a river\n' >&"${COPROC[1]}"
    for _ in 1 2; do read -r answer <&"${COPROC[0]}" && echo "$answer"; done
    kill -TERM "$COPROC_PID"
    cat <&"${COPROC[0]}"
}

# Who opens `slow`, a pipe, waits for the cat below: until then the thread is busy, the queue full.
drained() { # SIGNALS
    local folder from pid line=
    folder=$(mktemp -d) && mkfifo "$folder/slow" && cp input/reach.txt input/pool.txt "$folder" || return
    coproc { cd "$folder" && exec timeout --foreground 120 "$build/example_epoll" slow reach.txt missing.txt pool.txt; }
    pid=$COPROC_PID
    exec {from}<&"${COPROC[0]}" # bash forgets both when the program ends
    while [ "$line" != "reach.txt: accepted" ] && read -r line <&"$from"; do echo "$line"; done
    for _ in $(seq "$1"); do kill -TERM "$pid" && read -r line <&"$from" && echo "$line"; done
    timeout 120 tee "$folder/slow" <input/reach.txt >/dev/null
    LC_ALL=C sort <&"$from" # it still submits while others end
    exec {from}<&-
    wait "$pid" && rm -r "$folder"
}

drained_each() { for n in 0 1 2; do echo "$n signals:" && drained $n || return; done; }

# The thread that replaces the lost one may answer before the loop hears of the other.
abandoned() { timeout 120 "$build/example_abandon" | LC_ALL=C sort && [ "${PIPESTATUS[0]}" = 0 ]; }

with_database() { # NAME ARGS...: an empty one
    local folder rc=0 name=$1
    shift
    folder=$(mktemp -d) || return
    timeout 120 "$build/example_$name" "$folder/db" "$@" || rc=$?
    rm -r "$folder"
    return $rc
}

locked_database() { ! with_database cancel "BEGIN EXCLUSIVE"; }

refused_file() { ! timeout 120 "$build/example_sqlite" input/reach.txt; }

# The rest of the text has times, which differ from run to run.
metrics_of_tasks() { timeout 120 "$build/example_metrics" | grep '^weir_pool_tasks' && [ "${PIPESTATUS[0]}" = 0 ]; }

# What it made is what came in.
gzipped() {
    local folder
    folder=$(mktemp -d) && cp input/reach.txt input/pool.txt "$folder" &&
        (cd "$folder" && timeout 120 "$build/example_gzip" reach.txt pool.txt missing.txt)
    gunzip -c "$folder/reach.txt.gz" "$folder/pool.txt.gz" | cmp - <(cat input/reach.txt input/pool.txt) && echo "the same again"
    rm -r "$folder"
}

example sqlite
compare sqlite_refuses refused_file
compare cancel with_database cancel
compare cancel_locked locked_database
example timeout
example limits
compare abandon abandoned
example stats
example seen
compare metrics metrics_of_tasks
compare gzip gzipped
example library
compare sigterm stopped_by_sigterm
example stop
example progress
[ -x "$build/example_epoll" ] && compare epoll drained_each # on Linux
example poll localhost 127.0.0.1 no-such-host.invalid
example libuv input/reach.txt input/pool.txt input/empty.txt input/missing.txt
example uv_work input/reach.txt input/pool.txt input/empty.txt input/missing.txt
example glib input/reach.txt input/pool.txt input/empty.txt input/missing.txt
lacks=
for tool in xvfb-run xauth xdotool; do command -v $tool >/dev/null || lacks+=" $tool"; done
[ -x "$build/example_gtk_thumbnails" ] || lacks+=" GTK"
if [ -n "$lacks" ]; then
    echo "skipped: gtk_thumbnails: this system lacks$lacks"
    skipped=1
else
    compare gtk_thumbnails timeout 120 ./gtk_thumbnails.sh "$build/example_gtk_thumbnails"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
