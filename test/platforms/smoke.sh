#!/bin/sh
# SPDX-License-Identifier: ISC
#
# smoke.sh BUILD: smoke.c, linked with the static library in BUILD, runs.
set -eu
here=$(dirname "$0")
"${CC:-cc}" -std=c11 -Wall -Wextra -I"$here/../../csrc" "$here/smoke.c" "$1/libweir.a" -pthread -o "$1/smoke"
"$1/smoke"
