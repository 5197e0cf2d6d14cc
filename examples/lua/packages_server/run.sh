#!/bin/sh
# SPDX-License-Identifier: ISC
# run.sh ARGUMENTS...: runs main.lua with this tree's weir, under $WEIR_LUA (lua5.4).
here=$(dirname "$0")
exec "$here/../with_weir.sh" "${WEIR_LUA:-lua5.4}" "${WEIR_LUA:-lua5.4}" "$here/main.lua" "$@"
