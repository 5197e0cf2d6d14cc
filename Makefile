# SPDX-License-Identifier: ISC
#
# The commands of a clone; the work is done by cmake, dune and the scripts in tools/.
.PHONY: help deps build check test remote chaos-remote demo-remote doc pages lua-trust sweep fuzz stress demo bench models mutants clean

help:
	@echo 'make deps       installs what the others need: on Debian, as root'
	@echo 'make build      the C library in build/, the OCaml libraries in _build/'
	@echo 'make check      the C, OCaml and Lua tests without sanitizers, in about a minute and a half'
	@echo 'make test       everything that one machine can check'
	@echo 'make remote     the tests of weir-remote, with a RabbitMQ of their own'
	@echo 'make demo-remote   workers of weir-remote are killed while a client counts; one table'
	@echo 'make chaos-remote  30,000 jobs of weir-remote while workers and its server are killed'
	@echo 'make doc        the documentation as a site, in _build/site'
	@echo 'make pages      looks at the site in Chromium, and keeps screenshots'
	@echo 'make demo       what a pool does for an HTTP server, on Lwt and on Copas; SERVE=1 leaves one running'
	@echo 'make bench      the benchmarks, beside other libraries for the same job'
	@echo 'make models     the models of the races, searched exhaustively'
	@echo 'make mutants    mutation testing: changes one line of C, checks that a test fails'
	@echo 'make lua-trust  the Lua tests under sanitizers, memcheck and checked interpreters'
	@echo 'make sweep      refuses the n-th request to the system, for every n up to 200, in each scenario'
	@echo 'make fuzz       libFuzzer on the core and the codec, SECONDS=60 for each target'
	@echo 'make stress     random operations from a printed seed, for SECONDS=60'
	@echo 'make clean      removes what these made'
	@echo
	@echo 'make test, make remote and make demo install what they need, as make deps does; the others name it.'

deps:
	@for what in test demo bench doc; do tools/need --install $$what || exit 1; done

build:
	@tools/need check
	cmake -S . -B build
	cmake --build build
	dune build --root . @install

check:
	@tools/need check
	@tools/check

test:
	@tools/need --install test
	@tools/test

remote:
	@tools/need --install remote
	@tools/remote

chaos-remote:
	@tools/need --install remote
	@tools/remote chaos

demo-remote:
	@tools/need --install remote
	@tools/remote demo

doc:
	@tools/need doc
	@tools/site

pages: doc
	@tools/pages

lua-trust:
	@tools/need test
	@tools/lua-trust

sweep:
	@tools/need check
	@tools/sweep

fuzz:
	@tools/need check
	@tools/fuzz run $(or $(SECONDS),60)

stress:
	@tools/need check
	@tools/stress $(or $(SECONDS),60)

demo:
	@tools/need --install demo
	@examples/demo.sh

bench:
	@tools/need bench
	@bench/run

models:
	@models/run.sh

mutants:
	@tools/need check
	@test/mutants/run

clean:
	rm -rf build _build _build-ci examples/ocaml/*/_build
