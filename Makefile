# `make` alone prints the list.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
IN     ?=
CLIPS  ?=
MINUTES ?= 30
SECONDS ?= 60
RUNS   ?= 1000000
KEEP   ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fix bench bench-quick mini fuzz fuzz-steered vectors clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

# torch first and pinned: a looser range pulls gigabytes of CUDA packages.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "torch==2.13.0"
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[train,eval,dev]"
	@touch $@

setup: $(STAMP) ## make the environment and install everything into it

demo: $(STAMP) ## encode and decode a clip at 0.02 bpp (IN=my.mp4 for your own), write a table and a picture
	$(BIN)/python -m benchmarks.demo $(if $(IN),"$(IN)")

test: $(STAMP) ## all tests
	$(BIN)/python -m pytest -q

check: $(STAMP) ## formatting, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(STAMP) ## format and apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## speed and memory of this machine into benchmarks/results/; with CLIPS="dir ..." also real encoders and a page
	$(BIN)/python -m benchmarks.run
	$(if $(CLIPS),$(BIN)/gencodec bench $(CLIPS) --out bench.json --report bench)

bench-quick: $(STAMP) ## what moved since the last release, on made clips (KEEP=1 stores the results of this version)
	$(BIN)/python -m benchmarks.quick $(if $(KEEP),--keep)

mini: $(STAMP) ## train the embedded pack: make mini CLIPS="dir ..." MINUTES=60
	$(BIN)/gencodec train mini --clips $(CLIPS) --minutes $(MINUTES)

fuzz: $(STAMP) ## hostile bytes for every reader, SECONDS=60 each
	$(BIN)/python -m benchmarks.fuzz --seconds $(SECONDS)

fuzz-steered: $(STAMP) ## RUNS=1000000 executions of the container's reader, steered by coverage (Linux)
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[fuzz]"
	$(BIN)/python -m benchmarks.fuzz_steered --runs $(RUNS)

vectors: $(STAMP) ## write formats/vectors anew; review the difference like code
	$(BIN)/python -m tests.make_vectors

clean: ## remove caches and build output
	rm -rf build dist demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
