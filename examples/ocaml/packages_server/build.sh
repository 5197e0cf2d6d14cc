#!/bin/bash
# SPDX-License-Identifier: ISC
# Builds weir, then this program against it as installed; prints the program's path.
# Builds below $WEIR_BUILD, if that is set.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
if [ -n "${WEIR_BUILD-}" ]; then weir=$WEIR_BUILD/dune program=$WEIR_BUILD/server/program
else weir=$root/_build program=$here/_build; fi

mkdir -p "$weir" "$program"
cd "$root"
dune build --root . --build-dir "$weir" @install >&2
cd "$here"
export OCAMLPATH=$weir/install/default/lib${OCAMLPATH:+:$OCAMLPATH}
dune build --root . --build-dir "$program" --profile release ./main.exe ./interrupt_test.exe >&2
echo "$program/default/main.exe"
