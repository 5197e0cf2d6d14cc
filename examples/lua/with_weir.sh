#!/bin/bash
# SPDX-License-Identifier: ISC
#
# with_weir.sh INTERPRETER PROGRAM ARGUMENTS...: builds weir for one of lua5.1 ... lua5.5,
# luajit, unless a build newer than all sources is there, its own or that of tools/lua. Then runs a
# program that can require weir and Copas 4. Builds below $WEIR_BUILD, if that is set. Exits with 3
# where the headers of that Lua are missing.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${WEIR_BUILD:-$root/_build}/lua-examples
interpreter=${1-}
case $interpreter in
lua5.[1-5]) headers=/usr/include/$interpreter version=${interpreter#lua} ;;
luajit) headers=/usr/include/luajit-2.1 version=5.1 ;;
*) echo "usage: with_weir.sh lua5.1|...|lua5.5|luajit PROGRAM ARGUMENTS..." >&2; exit 2 ;;
esac
shift
[ -e "$headers/lua.h" ] || { echo "with_weir.sh: no headers of $interpreter" >&2; exit 3; }
newest=$(find "$root/csrc" "$root/bindings/lua" -name '*.[ch]' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)

is_fresh() { [ "$1/weir/core.so" -nt "$newest" ] && [ "$1/weir/lus/core.so" -nt "$newest" ]; }
out=${build%/*}/lua/$interpreter # of tools/lua
is_fresh "$out" || out=$build/$interpreter
if ! is_fresh "$out"; then
  mkdir -p "$out/weir/lus"
  objects=$(mktemp -d)
  trap 'rm -rf "$objects"' EXIT
  # shellcheck disable=SC2016 # expands in the inner shell
  (cd "$root" && find csrc bindings/lua -name '*.c' -print0 | xargs -0 -n 1 -P "$(nproc)" sh -c '
    "${CC:-gcc}" -std=gnu11 -O2 -g -fPIC -DWEIR_PRIVATE -Icsrc -Ibindings/lua "-I$1" -c "$2" \
      -o "$0/$(echo "$2" | tr / -).o"' "$objects" "$headers")
  "${CC:-gcc}" -shared -o "$out/weir/lus/core.so" "$objects"/bindings-lua-{lus-*,runtime-util.c}.o -lpthread -ldl
  rm "$objects"/bindings-lua-lus-*.o
  "${CC:-gcc}" -shared -o "$out/weir/core.so" "$objects"/*.o -lpthread -ldl
fi
"$root/tools/copas" "$build" >&2 || echo "Copas 4 cannot be had here" >&2

machine=$("${CC:-gcc}" -dumpmachine)
export LUA_CPATH="$out/?.so;/usr/lib/$machine/lua/$version/?.so;$build/lsqlite3/$version/?.so;;"
export LUA_PATH="$root/bindings/lua/?.lua;$root/bindings/lua/?/init.lua;$build/copas/?.lua"
LUA_PATH="$LUA_PATH;$root/test/lua/support/?.lua;;" # what Copas requires and Debian lacks
for v in 5_2 5_3 5_4 5_5; do export "LUA_PATH_$v=$LUA_PATH" "LUA_CPATH_$v=$LUA_CPATH"; done
rm -rf "${objects-}"
exec "$@"
