# Two commands matter: `make run` and `make test`. Each does all its own set-up, once.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
SHOP   := examples/shop

.DEFAULT_GOAL := help
.PHONY: help run test quick lint bench wheel docs lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Headwater needs Python 3.11 or newer; set PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# What `make run` needs: the package with the shop's extras.
$(VENV)/.run: pyproject.toml requirements/dev.txt | $(BIN)/python
	$(PIP) install --require-hashes -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# What `make test` needs besides: the locked tools.
$(VENV)/.dev: pyproject.toml requirements/dev.txt | $(BIN)/python
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run

run: $(VENV)/.run ## the shop at http://127.0.0.1:8000, embedded
	cd $(SHOP) && exec ../../$(BIN)/headwater run

test: $(VENV)/.dev ## everything: style, types, floor plan, all tests
	@$(BIN)/python -m tests.everything

quick: $(VENV)/.dev ## the tests that take seconds
	$(BIN)/python -m pytest -q -m "not real"

lint: $(VENV)/.dev ## style, types and floor plan only
	@$(BIN)/python -m tests.everything --checks

bench: $(VENV)/.dev ## benchmarks, on one pinned core, into docs/performance.md
	$(BIN)/python -m bench

wheel: $(VENV)/.dev ## the package as users install it, compiled, into dist
	HEADWATER_COMPILE=1 $(BIN)/python -m hatchling build -t wheel

docs: $(VENV)/.dev ## the documentation, into build/site
	$(BIN)/python -m tools.docs

lock: | $(BIN)/python ## lock the development requirements again
	$(PIP) install pip-tools
	for part in run dev; do \
	  $(BIN)/python -m piptools compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url \
	    --no-emit-find-links --no-emit-trusted-host --no-header -o requirements/$$part.txt requirements/$$part.in; \
	done

clean: ## remove what was made here
	rm -rf $(VENV) .venv-bench .mypy_cache .ruff_cache .pytest_cache build dist
