# `make serve` and `make test` do everything on a fresh machine.
#
#   make serve [DIRS="~/work/site ~/work/api"]   the server and its page, on a sample or on your directories
#   make test                                    every test, the browser's included
#   make check                                   the quick loop: format, lint, types, fast tests
#   make crash [ROUNDS=100]                      kill -9 under load, and proof that nothing seen was lost
#   make bench                                   the benchmarks

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*)
DIRS ?= examples/sample
ROUNDS ?= 100
CHECKED := aosui _aosui_pytest.py tests examples benchmarks $(PLUGINS)

.PHONY: serve test check format types fast crash bench pictures clean
.DELETE_ON_ERROR:

serve: $(VENV)/.serve
	$(BIN)/aosui serve $(DIRS)

test: $(VENV)/.dev $(VENV)/.npm $(VENV)/.browser
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(MAKE) types
	$(BIN)/pytest
	for plugin in $(PLUGINS); do $(BIN)/pytest $$plugin/tests || exit 1; done

check: $(VENV)/.dev
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(MAKE) types
	$(MAKE) fast

format: $(VENV)/.dev
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/ruff check --fix $(CHECKED)

types: $(VENV)/.dev
	$(BIN)/mypy
	for plugin in $(PLUGINS); do $(BIN)/mypy $$plugin/src $$plugin/tests || exit 1; done

fast: $(VENV)/.dev
	$(BIN)/pytest -m "not slow and not browser"

crash: $(VENV)/.dev
	$(BIN)/python -m tests.crash --rounds $(ROUNDS)

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

pictures: $(VENV)/.dev $(VENV)/.browser
	$(BIN)/python docs/pictures.py

clean:
	rm -rf $(VENV) node_modules build *.egg-info plugins/*/src/*.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { \
		[ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -yq python3-venv && $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.serve: pyproject.toml plugins/aosui-shell/pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable . --editable plugins/aosui-shell
	touch $@

# The SDK of aosui-claude from its source: its wheel carries a binary of some hundred megabytes that
# the tests do not use.
$(VENV)/.dev: pyproject.toml $(wildcard plugins/*/pyproject.toml) $(VENV)/.serve | $(BIN)/python
	$(BIN)/pip install --quiet --no-binary claude-agent-sdk --editable '.[dev]' $(foreach plugin,$(PLUGINS),--editable $(plugin))
	touch $@

# Node runs the tests of the JavaScript client; where it is missing, root installs it.
$(VENV)/.npm: package.json | $(BIN)/python
	command -v npm >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -yq nodejs npm; }
	npm install --no-package-lock --no-audit --no-fund --loglevel=error
	touch $@

# Debian's chromium; a user who is not root is told by the tests that they were skipped.
$(VENV)/.browser: | $(BIN)/python
	command -v chromium >/dev/null || [ "$$(id -u)" != 0 ] || { apt-get update -q && apt-get install -yq chromium; }
	touch $@
