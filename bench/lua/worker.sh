#!/bin/sh
# SPDX-License-Identifier: ISC
#
# worker.sh [lua5.4|luajit|...] [RUNS]: measures weir.worker: medians of RUNS (5) processes
# each, beside a raw ring between two states, bare states, and what Lus 1.6.2 took on a
# machine with two CPUs.
set -eu
interpreter=${1:-lua5.4} runs=${2:-5}
here=$(cd "$(dirname "$0")" && pwd) root=$(cd "$(dirname "$0")/../.." && pwd)
case $interpreter in
luajit) headers=/usr/include/luajit-2.1 ;;
*) headers=/usr/include/$interpreter ;;
esac
BENCH_FOLDER=$(mktemp -d)
export BENCH_FOLDER
trap 'rm -rf "$BENCH_FOLDER"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$BENCH_FOLDER/weir/lus"
build() { # MODULE SOURCES...
    module=$1
    shift
    "${CC:-cc}" -std=gnu11 -O2 -fPIC -shared -DWEIR_PRIVATE -I"$root/csrc" -I"$root/bindings/lua" -I"$headers" "$@" \
        -o "$BENCH_FOLDER/$module.so" -lpthread -ldl
}
# shellcheck disable=SC2046 # names of files
build weir/core "$root"/csrc/*/*.c $(find "$root/bindings/lua" -name '*.c' ! -path '*/lus/*')
build weir/lus/core "$root"/bindings/lua/lus/*.c "$root/bindings/lua/runtime/util.c"
build ring "$here/ring.c"
unset LUA_PATH_5_2 LUA_PATH_5_3 LUA_PATH_5_4 LUA_CPATH_5_2 LUA_CPATH_5_3 LUA_CPATH_5_4
export LUA_PATH="$root/bindings/lua/?.lua;$root/bindings/lua/?/init.lua" LUA_CPATH="$BENCH_FOLDER/?.so"

median() { # MEASURE [COMMAND before it]
    measure=$1
    shift
    i=0
    while [ $i -lt "$runs" ]; do
        "$@" "$interpreter" "$here/worker.lua" "$measure"
        i=$((i + 1))
    done | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'
}
line() { # NAME MEASURE UNIT ORIGINAL [COMMAND]
    name=$1 measure=$2 unit=$3 original=$4
    shift 4
    value=$(median "$measure" "$@")
    printf '%-44s %10.2f %-8s %10s\n' "$name" "$value" "$unit" "$original"
}
printf '%-44s %10s %-8s %10s\n' "$interpreter" weir "" "Lus 1.6.2"
line "worker to parent, integers" to_parent M/s 0.37
line "parent to worker, integers" to_worker M/s 0.59
line "a raw ring between two states, numbers" ring M/s -
line "two floods, one receive, 200,000 messages" two_floods s 0.77
line "round trip" round_trip us 76
line "round trip, one CPU" round_trip us - taskset -c 0
line "create, run, drain: one after another" one_by_one us 130
line "create, run, drain: 1,000 at once, each" thousand us 40
line "a waiting worker, of 10,000" waiting KiB "hangs"
line "a bare state with a parked coroutine" bare KiB -
