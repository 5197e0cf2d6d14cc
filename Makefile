# SPDX-License-Identifier: ISC
#
# The commands of a clone. Each says what is missing, or on Debian as root
# installs it; the work is done by the scripts in .ci/, cmake and dune.
.PHONY: help build check test lua-trust demo bench models mutants clean

help:
	@echo 'make build      the C library in build/, the OCaml libraries in _build/'
	@echo 'make check      the C, OCaml and Lua tests without sanitizers, in about a minute'
	@echo 'make test       everything that one machine can check'
	@echo 'make demo       what a pool does for an HTTP server, on Lwt and on Copas'
	@echo 'make bench      the benchmarks, beside other libraries for the same job'
	@echo 'make models     the models of the races, searched exhaustively'
	@echo 'make mutants    changes one line of C at a time: which test fails?'
	@echo 'make lua-trust  the Lua tests under sanitizers, memcheck and checked interpreters'
	@echo 'make clean      removes what these made'
	@echo
	@echo 'On Debian as root each of these installs what it needs; elsewhere it names it.'

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
