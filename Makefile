# Two commands matter: `make run` and `make test`. The rest is for those who change Salon.
# Everything is installed into this folder: .venv (Python), web/node_modules, .deps.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := .stamps
NODE   ?= auto
SHELL  := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PIP    := $(PY) -m pip --quiet --disable-pip-version-check --no-input

.PHONY: run test check web bench measure docs lock clean engines format e2e

run: $(STAMP)/run $(STAMP)/web
	@exec $(VENV)/bin/salon run $(ARGS)

$(VENV)/bin/python:
	@echo "· making a Python environment in .venv"
	@$(PYTHON) -m venv $(VENV)

$(STAMP)/run: pyproject.toml requirements/run.txt | $(VENV)/bin/python
	@echo "· installing Salon's Python packages"
	@mkdir -p $(STAMP)
	@$(PIP) install -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(PY) -m compileall -q src
	@touch $@

$(STAMP)/dev: pyproject.toml requirements/dev.txt $(STAMP)/run
	@echo "· installing what the tests need"
	@$(PIP) install -r requirements/dev.txt
	@touch $@

$(STAMP)/train: requirements/train.txt $(STAMP)/dev
	@echo "· installing what training needs (torch, 3 GB)"
	@$(PIP) install -r requirements/train.txt
	@touch $@

# --- the web page -----------------------------------------------------------------
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -type f -print 2>/dev/null | grep -v '^web/dist')

web: $(STAMP)/web
$(STAMP)/web: $(WEB_SOURCES) $(STAMP)/run
	@scripts/web.sh
	@mkdir -p $(STAMP) && touch $@

# --- tests ------------------------------------------------------------------------
engines: $(STAMP)/dev
	@scripts/engines.sh

check: $(STAMP)/dev
	@$(VENV)/bin/ruff format --check --quiet src tests benchmarks examples scripts hatch_build.py
	@$(VENV)/bin/ruff check --quiet src tests benchmarks examples scripts hatch_build.py
	@$(VENV)/bin/mypy --no-error-summary
	@$(VENV)/bin/lint-imports --no-cache > .stamps/imports.txt || { cat .stamps/imports.txt; exit 1; }
	@$(PY) -m pytest -q -n 2 -m "not e2e and not browser and not faults and not kafka and not torch" tests
	@if [ -d web/node_modules ]; then cd web && npm --silent run test; else echo "· the page's tests need \`make web\`"; fi

test: $(STAMP)/dev $(STAMP)/train $(STAMP)/web engines
	@scripts/test.sh

format:
	@$(VENV)/bin/ruff check --quiet --fix src tests benchmarks examples scripts hatch_build.py || true
	@$(VENV)/bin/ruff format --quiet src tests benchmarks examples scripts hatch_build.py

# --- for those who measure ---------------------------------------------------------
bench: $(STAMP)/dev
	@$(PY) -m benchmarks

measure: $(STAMP)/dev
	@$(PY) scripts/measure.py

docs: $(STAMP)/run
	@$(PY) scripts/reference.py

lock:
	@$(PIP) install --quiet uv
	@mkdir -p requirements
	@$(VENV)/bin/uv pip compile --quiet --universal --no-annotate --no-emit-index-url --custom-compile-command "make lock" --python-version 3.11 requirements/run.in pyproject.toml -o requirements/run.txt
	@$(VENV)/bin/uv pip compile --quiet --universal --no-annotate --no-emit-index-url --custom-compile-command "make lock" --python-version 3.11 --extra dev --extra train --extra diffusers -c requirements/run.txt pyproject.toml -o requirements/train.txt
	@$(VENV)/bin/uv pip compile --quiet --universal --no-annotate --no-emit-index-url --custom-compile-command "make lock" --python-version 3.11 --extra dev -c requirements/run.txt pyproject.toml -o requirements/dev.txt

clean:
	@rm -rf $(VENV) $(STAMP) web/node_modules src/salon/webapp .deps
