# Two commands for a newcomer: `make demo` (watch it work) and `make test` (all tests).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests wait for servers half of the time, so three share two cores well.
WORKERS ?= 3
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test e2e soak mutants bench notebooks lint lock clean

help:  ## what can be made here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("balancebook needs Python 3.11 or newer: set PYTHON=...") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --no-index -e .
	@touch $@

demo: $(STAMP)  ## start a real Cassandra, run every notebook and runbook, show the verdicts
	@$(BIN)/balancebook demo

test: $(STAMP)  ## the tests, against a real Cassandra
	@$(BIN)/python -m pytest -n $(WORKERS) --no-loadscope-reorder -m "not soak and not e2e"

e2e: $(STAMP)  ## every notebook and command as people run them, on the demo exchange and another one
	@$(BIN)/python -m pytest -n $(WORKERS) --no-loadscope-reorder -m "not soak and e2e"

soak: $(STAMP)  ## what takes too long for every day: two nodes, a huge partition, long writing, odd gateways
	@$(BIN)/python -m pytest -m "soak or not soak" tests/soak && $(BIN)/python -m pytest -m soak

mutants: $(STAMP)  ## change judging code at random, count what the tests notice (docs/MUTANTS.md)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/mutants/requirements.lock
	@PYTHONPATH=tests $(BIN)/python -m mutants.run $(MUTANTS)

bench: $(STAMP)  ## what a comparison costs over only reading (benchmarks/README.md)
	@$(BIN)/python benchmarks/reconcile.py

notebooks: $(STAMP)  ## regenerate the stored outputs of every notebook
	@$(BIN)/python -m balancebook.demo.regenerate

lint: $(STAMP)  ## ruff, mypy, import contracts
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

lock: $(STAMP)  ## resolve the locked packages anew (needs uv)
	uv pip compile pyproject.toml --extra embedded --extra dask --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements.lock
	uv pip compile pyproject.toml --extra embedded --extra dask --extra dev --extra mutants --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -c requirements.lock \
	  -o tests/mutants/requirements.lock

clean:  ## remove the virtual environment (demo state stays: balancebook down)
	rm -rf $(VENV)
