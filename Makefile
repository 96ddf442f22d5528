# make demo   set everything up and run the water example (a quarter of an hour on two cores)
# make test   set everything up and run the tests
# make lint   style, types and the direction of imports
# make lock   write requirements.lock anew from pyproject.toml

SHELL  := bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
WORKERS ?= 2

# Linear algebra takes one thread a process: the work is spread over processes, and more threads than cores wait for each other.
export OMP_NUM_THREADS = 1
export MKL_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1

.PHONY: setup demo test test-slow lint lock clean

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	$(BIN)/halocline run examples/01-water --preset tiny

test: setup
	NUMBA_NUM_THREADS=2 NUMBA_THREADING_LAYER=workqueue $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-slow: setup
	NUMBA_NUM_THREADS=2 NUMBA_THREADING_LAYER=workqueue $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock:
	set -e; fresh=$$(mktemp -d); $(PYTHON) -m venv $$fresh; \
	$$fresh/bin/python -m pip install --quiet 'torch==2.13.0' 'setuptools>=77' -e '.[dev,clusters]'; \
	{ echo "# Exact versions of everything 'make setup' installs (Python 3.11). Made by 'make lock'; do not edit."; \
	  $$fresh/bin/python -m pip freeze --all --exclude-editable --exclude pip | sed -E 's/\+[a-z0-9.]+$$//' | sort -f; } > requirements.lock; \
	rm -r $$fresh

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
