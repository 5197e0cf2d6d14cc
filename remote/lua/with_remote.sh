#!/bin/bash
# SPDX-License-Identifier: ISC
#
# with_remote.sh INTERPRETER PROGRAM ARGUMENTS...: as examples/lua/with_weir.sh, for a program
# that can require weir.remote as well. Exits with 3 where the headers of that Lua are missing.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${WEIR_BUILD:-$root/_build}/lua-remote
interpreter=${1-}
case $interpreter in
luajit) headers=/usr/include/luajit-2.1 ;;
*) headers=/usr/include/$interpreter ;;
esac
[ -e "$headers/lua.h" ] || { echo "with_remote.sh: no headers of $interpreter" >&2; exit 3; }
out=$build/$interpreter/weir/remote

is_fresh() { # FILE FOLDERS...: it is newer than every C file there
    [ -e "$1" ] && [ -z "$(find "${@:2}" -name '*.[ch]' -newer "$1" -print -quit)" ]
}
compile() { # FOLDER FLAGS SOURCES...
    mkdir -p "$1"
    # shellcheck disable=SC2016 # expands in the inner shell
    printf '%s\0' "${@:3}" | (cd "$root" && xargs -0 -n 1 -P "$(nproc)" sh -c '
        "${CC:-gcc}" -std=gnu11 -O2 -g -fPIC -Wall -Wextra -Wshadow -Werror -fvisibility=hidden \
            -DWEIR_PRIVATE -DWI_SECOND -Icsrc -Iremote/csrc -Iremote/glue $1 -c "$2" \
            -o "$0/$(echo "$2" | tr / -).o"' "$1" "$2")
}
sources() { (cd "$root" && find "$@" -name '*.c'); }

# Once for all interpreters, which may be built at the same time; then what knows Lua.
mkdir -p "$build"
exec 9>"$build/lock"
flock 9
if ! is_fresh "$build/core.a" "$root/csrc" "$root/remote/csrc" "$root/remote/glue"; then
    rm -rf "$build/objects"
    mapfile -t files < <(sources csrc remote/csrc remote/glue)
    compile "$build/objects" "" "${files[@]}"
    rm -f "$build/core.a"
    ar rc "$build/core.a" "$build"/objects/*.o
fi
exec 9>&-
if ! is_fresh "$out/core.so" "$root/remote/lua" "$root/remote/csrc" "$root/remote/glue" ||
    [ "$build/core.a" -nt "$out/core.so" ]; then
    mkdir -p "$out"
    compile "$build/$interpreter" "-I$headers" remote/lua/core.c remote/lua/fields.c
    "${CC:-gcc}" -shared -o "$out/core.so.new" "$build/$interpreter"/remote-lua-{core,fields}.c.o \
        "$build/core.a" -lrabbitmq -lpthread -ldl
    mv "$out/core.so.new" "$out/core.so"
fi

# shellcheck disable=SC2016 # expands when weir's own paths are set
exec "$root/examples/lua/with_weir.sh" "$interpreter" bash -c '
    version=$1 folder=$2 out=$3
    shift 3
    share=/usr/share/lua
    LUA_PATH="$folder/?.lua;$LUA_PATH;$share/$version/?.lua;$share/5.1/?.lua;$share/5.1/?/init.lua"
    LUA_CPATH="$out/?.so;$LUA_CPATH"
    for v in "" _5_2 _5_3 _5_4 _5_5; do export "LUA_PATH$v=$LUA_PATH" "LUA_CPATH$v=$LUA_CPATH"; done
    exec "$@"' with_remote "$(case $interpreter in lua5.[34]) echo 5.3 ;; *) echo 5.1 ;; esac)" \
    "$root/remote/lua" "$build/$interpreter" "${@:2}"
