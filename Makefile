# SPDX-License-Identifier: ISC
#
# The commands of a clone. Each says what is missing, or on Debian as root
# installs it; the work is done by the scripts in .ci/, cmake and dune.
.PHONY: help build check test lua-trust demo bench models mutants clean

help:
	@echo 'make build   the C library in build/, the OCaml ones in _build/'
	@echo 'make check   the C and the native OCaml tests, in under a minute'
	@echo 'make test    everything that one machine can run'
	@echo 'make lua-trust  the Lua suite under everything that looks over its shoulder'
	@echo 'make demo    what a pool does for an HTTP server on Lwt'
	@echo 'make bench   against the peers, in the same run'
	@echo 'make models  the models of the races, searched exhaustively'
	@echo 'make mutants who notices when one line of the core or the bindings in C goes'
	@echo 'make clean   removes what these made'

build:
	@.ci/need check
	cmake -S . -B build
	cmake --build build
	dune build --root . @install

check:
	@.ci/need check
	@.ci/check

test:
	@.ci/need test
	@.ci/test

lua-trust:
	@.ci/need test
	@.ci/lua-trust

demo:
	@.ci/need demo
	@examples/demo.sh

bench:
	@.ci/need bench
	@bench/run

models:
	@models/run.sh

mutants:
	@.ci/need check
	@test/mutants/run

clean:
	rm -rf build _build _build-ci examples/ocaml/*/_build
