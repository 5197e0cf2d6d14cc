# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# check.sh: for scripts that source it, which count in `passed` and `failed`.

check() { # what, expected, seen
    if [ "$2" = "$3" ]; then passed=$((passed + 1)); return; fi
    failed=$((failed + 1))
    printf 'FAILED: %s\n  expected: %s\n  seen:     %s\n' "$1" "$2" "$3"
}
