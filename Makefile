# Everything happens in .venv, which is made here and needs nothing but Python >= 3.11 and make.
#   make run     set up, and run the quickstart on an embedded broker
#   make test    set up, and run the tests
#   make check   set up, and run what CI checks: format, lint, types, layers, file lengths
#   make bench   set up, and run the benchmarks (minutes)
#   make clean   remove .venv and what tools left

CANDIDATES := python3 python3.13 python3.12 python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
OUTPUT ?= output/quickstart

.DEFAULT_GOAL := help
.PHONY: help setup run test check bench clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(VENV)/.run

run: $(VENV)/.run
	$(BIN)/pipeline-coordinator run examples/quickstart.yaml --output $(OUTPUT)

test: $(VENV)/.test
	$(BIN)/python -m pytest

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@long=$$(git ls-files '*.py' '*.lua' | xargs wc -l | awk '$$2 != "total" && $$1 > 400'); \
	  test -z "$$long" || { echo "files over 400 lines:"; echo "$$long"; exit 1; }

bench: $(VENV)/.test
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/async_rows.py
	$(BIN)/python benchmarks/async_rows.py --slow 20
	$(BIN)/python benchmarks/async_rows.py --client openai
	$(BIN)/python benchmarks/async_rows.py --client openai --slow 20
	$(BIN)/python benchmarks/memory.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@for python in $(CANDIDATES); do \
	  command -v $$python >/dev/null && \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && found=$$python && break; \
	done; \
	test -n "$$found" || { echo "Penstock needs Python 3.11 or newer; none of $(CANDIDATES) is."; exit 1; }; \
	$$found -m venv $(VENV) || { \
	  echo "$$found cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv"; \
	  rm -rf $(VENV); exit 1; }
	@touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml
	$(PIP) --editable '.[embedded]'
	@touch $@

$(VENV)/.test: $(VENV)/.run pyproject.toml
	$(PIP) --editable '.[embedded,test]'
	@touch $@

$(VENV)/.check: $(VENV)/.test pyproject.toml
	$(PIP) --editable '.[embedded,test,check]'
	@touch $@
