#!/bin/bash
# SPDX-License-Identifier: ISC
#
# run.sh: builds weir, then the small examples against it as installed. Runs each and
# compares its output with the expected one, except for times and wakes. Builds below
# $WEIR_BUILD, if that is set. Prints "N passed, N failed".
set -u
cd "$(dirname "$0")" || exit 2
root=$(cd ../.. && pwd)
build=${WEIR_BUILD:-$root/_build}
passed=0 failed=0

mkdir -p "$build/examples"
weir=$build/dune # where tools/ocaml builds
dune build --root "$root" --build-dir "$weir" @install || exit 1
export OCAMLPATH=$weir/install/default/lib${OCAMLPATH:+:$OCAMLPATH}

# a histogram has as many bars as the machine gives it
shape() { sed -E 's/[0-9.]+ us/N us/g; s/^ *N us #+$/N us #/; s/wakes [0-9]+/wakes N/; s/for [0-9]+ s$/for N s/' | uniq; }

example() { # NAME
    local out program=$build/examples/$1
    if dune build --root "$1" --build-dir "$program" "./$1.exe" &&
        out=$(timeout 120 "$program/default/$1.exe" 2>&1) &&
        diff "$1/$1.expected" <(shape <<<"$out"); then
        echo "$1: as expected"
        passed=$((passed + 1))
    else
        echo "$1: FAILED (its build, exit or timeout, or the difference above)"
        failed=$((failed + 1))
    fi
}

example first
example guide
example stats
example detach
example own_pool
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
