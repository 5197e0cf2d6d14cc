# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# checks.sh: for parts that are a list of commands. Each check is one command,
# run as a process of its own under set -e, its output shown when it fails.

checks_passed=0 checks_failed=0

check() { # WHAT COMMAND...
    local what=$1 out rc
    shift
    out=$("$@" 2>&1) && rc=0 || rc=$?
    if [ $rc = 0 ]; then
        checks_passed=$((checks_passed + 1))
        echo "ok: $what"
    else
        checks_failed=$((checks_failed + 1))
        printf 'FAILED: %s (exit code %d)\n%s\n' "$what" $rc "$out"
    fi
}

# sh CODE ARGS...: CODE as a check's command, with every failure fatal
sh() { bash -euo pipefail -c "$@"; }

skip() { # WHAT WHY
    echo "skipped: $1: $2"
    echo "0 passed, 0 failed, 1 skipped"
}

checks_end() {
    echo "$checks_passed passed, $checks_failed failed"
    [ "$checks_failed" = 0 ]
}
