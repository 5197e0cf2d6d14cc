#!/bin/bash
# SPDX-License-Identifier: ISC
#
# build.sh [HEADERS]: builds weir for Neovim's LuaJIT into lua/ beside this file, for plugin
# managers to call, and the tags that :help looks in, where nvim is installed. HEADERS is the folder of LuaJIT's or Lua 5.1's lua.h; without it the
# usual places are tried.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
headers=${1-}
for folder in /usr/include/luajit-2.1 /usr/local/include/luajit-2.1 /opt/homebrew/include/luajit-2.1 /usr/include/lua5.1; do
    [ -n "$headers" ] || [ ! -e "$folder/lua.h" ] || headers=$folder
done
[ -e "$headers/lua.h" ] || { echo "build.sh: no lua.h of LuaJIT in '$headers'; name its folder" >&2; exit 1; }

objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
cd "$root"
# shellcheck disable=SC2016 # expands in the inner shell
find csrc bindings/lua -name '*.c' ! -path '*/lus/*' -print0 | xargs -0 -n 1 -P 2 sh -c '
    "${CC:-cc}" -std=gnu11 -O2 -fPIC -DWEIR_PRIVATE -Icsrc -Ibindings/lua "-I$1" -c "$2" \
        -o "$0/$(echo "$2" | tr / -).o"' "$objects" "$headers"
rm -rf "$here/lua"
mkdir -p "$here/lua"
cp -r bindings/lua/weir "$here/lua/weir"
link=-shared
[ "$(uname)" != Darwin ] || link='-bundle -undefined dynamic_lookup'
# shellcheck disable=SC2086 # words are wanted
"${CC:-cc}" $link -o "$here/lua/weir/core.so" "$objects"/*.o -lpthread -ldl
! command -v nvim >/dev/null || (cd "$here" && nvim --headless -u NONE -i NONE -c 'helptags doc' -c 'qa!')
echo "weir is built in $here/lua"
