# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# lib.sh: parts. A part is a program of its own, so that its set -e holds; it
# passes when its output counts at least one check, none failed, and it exits 0.

# Ours alone, so that a part works beside whatever else was built in this tree.
export WEIR_BUILD=${WEIR_BUILD:-$PWD/_build-ci}
export WEIR_JOBS=${WEIR_JOBS:-$(nproc)}
mkdir -p "$WEIR_BUILD/logs"

# What each part adds a line to, also one that runs beside others: its name when it begins, its
# counts when it ends.
begun=$WEIR_BUILD/logs/begun.$$ counts=$WEIR_BUILD/logs/counts.$$
rm -f "$begun" "$counts"
touch "$begun" "$counts"

# A terminal sees which part runs, if the script calls count_parts before its first one: the
# script is then run once more, to count them, and each part only counts.
parts=
count_parts() { # the script's ARGS...
    if [ -z "${WEIR_COUNT_PARTS-}" ] && [ -t 2 ]; then
        parts=$(WEIR_COUNT_PARTS=yes "tools/${0##*/}" "$@" | tail -n 1)
    fi
}
is_counted() { # NAME
    echo "$1" >>"$begun"
    [ -z "$parts" ] || tools/progress "$(wc -l <"$begun")" "$parts" "$1"
    [ -n "${WEIR_COUNT_PARTS-}" ]
}

tally() { # PASSED FAILED SKIPPED: "N passed, N failed[, N skipped]"
    printf '%d passed, %d failed' "$1" "$2"
    [ "$3" = 0 ] || printf ', %d skipped' "$3"
    echo
}

log_of() { echo "$WEIR_BUILD/logs/${1//[^a-z0-9]/-}.log"; } # NAME

perform() { # NAME COMMAND...: its exit code and seconds come to stand beside its log
    local log start=$SECONDS
    log=$(log_of "$1")
    shift
    timeout -k 10 "${WEIR_PART_LIMIT:-3600}" "$@" >"$log" 2>&1 </dev/null
    echo "$? $((SECONDS - start))" >"$log.end"
}

# What a log says of failures, which may stand far above its end.
complaints() { # LOG
    grep -nE '^[^ ]+:[0-9]+:([EF]:| .*expected)|^(Failure|Error) -> |\[FAIL\]|^FAIL|^suite .* ended|(ERROR|WARNING): \w+Sanitizer' "$1" |
        head -n 50
}

report() { # NAME; one at a time
    local name=$1 log rc=1 seconds=0 passed failed skipped verdict=ok
    log=$(log_of "$name")
    read -r rc seconds <"$log.end"
    read -r passed failed skipped < <(tools/count "$log")
    if [ "$rc" != 0 ] && [ "$failed" = 0 ]; then
        echo "part '$name' ended with exit code $rc" >>"$log"
        failed=1
    elif [ $((passed + failed + skipped)) = 0 ]; then
        echo "part '$name' counted no check" >>"$log"
        failed=1
    fi
    [ "$failed" = 0 ] || verdict=FAILED
    [ -z "$parts" ] || tools/progress
    echo "$passed $failed $skipped" >>"$counts"
    printf '%-24s %4d s  %-6s %s\n' "$name" "$seconds" "$verdict" \
        "$(tally "$passed" "$failed" "$skipped")"
    if [ "$verdict" = FAILED ]; then
        complaints "$log" | sed 's/^/    | /'
        tail -n 100 "$log" | sed 's/^/    | /'
    elif [ "$skipped" != 0 ]; then
        sed -n 's/^skipped: /    skipped: /p' "$log"
    fi
}

part() { # NAME COMMAND...
    ! is_counted "$1" || return 0
    perform "$@"
    (flock 9 && report "$1") 9>>"$counts"
}

# Parts, or functions that call some one after the other, beside what else goes on.
beside() { # COMMAND...
    if [ -n "${WEIR_COUNT_PARTS-}" ]; then "$@"; else "$@" & fi
}
# For parts that use one CPU: as many at once as there are.
begin() { # NAME COMMAND...
    while [ "$(jobs -rp | wc -l)" -ge "$WEIR_JOBS" ]; do wait -n; done
    beside part "$@"
}

finish() { # the last line; the exit code says whether all is well
    local passed=0 failed=0 skipped=0 p f s
    wait
    [ -z "${WEIR_COUNT_PARTS-}" ] || { wc -l <"$begun"; rm "$begun" "$counts"; exit; }
    while read -r p f s; do
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    done <"$counts"
    if [ "$(wc -l <"$begun")" != "$(wc -l <"$counts")" ]; then
        echo "a part began and has not reported"
        failed=$((failed + 1))
    fi
    rm "$begun" "$counts"
    tally $passed $failed $skipped
    [ $failed = 0 ]
}
