# The commands of the house; `pixi run demo|test|lab|check` call the same recipes.
#
#   make demo          the whole chain on a synthetic sample; results in outputs/demo
#   make test          all tests              make test ARGS="-k schema"   some of them
#   make lab           JupyterLab with the notebooks
#   make check         ruff, mypy and the house tests
#   make servers       programs that some tests start, in environments of their own (.servers)
#   make bench         the table of speed and memory (25 minutes); JSON in outputs/bench
#   make docs          these pages and the API reference, in outputs/docs
#   make chaos         runs that are killed and disturbed; prints what came of them (20 minutes)
#   make test-locked   the tests with the versions of pixi.lock (needs its Python)
#   make clean         remove the environments, caches and outputs/demo
#
# ENV=venv (default) makes .venv from PyPI; ENV=active takes the Python on PATH, as pixi does.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

ENV ?= venv
PYTHON ?= python3
LOCKED_PYTHON ?= python3.13
EXTRAS := lab,remote,mva,profile,docs,dev
ARGS ?=
TEST_PROCESSES ?= 2

ifeq ($(ENV),venv)
BIN := .venv/bin/
READY := .venv/.installed
else
BIN :=
READY :=
endif

# Without compiled byte code every worker, kernel and command starts seconds later.
unexport PYTHONDONTWRITEBYTECODE

UV := $(shell command -v uv 2>/dev/null)
ifdef UV
make_venv = "$(UV)" venv --quiet --allow-existing --python "$(1)" "$(2)"
install = "$(UV)" pip install --quiet --compile-bytecode --python "$(1)/bin/python"
else
make_venv = "$(1)" -m venv "$(2)"
install = "$(1)/bin/python" -m pip install --quiet --disable-pip-version-check
endif

.PHONY: demo test lab check references bench docs servers chaos test-locked clean

DEMO := outputs/demo
DEMO_EVENTS_PER_FILE ?= 50000

demo: $(READY)
	$(BIN)python -m intccms sample --out $(DEMO)/sample \
	    --files-per-process 2 --events-per-file $(DEMO_EVENTS_PER_FILE)
	$(BIN)python -m papermill notebooks/full_processing.ipynb $(DEMO)/full_processing.ipynb \
	    -p base_dir $(DEMO)/sample -p output_dir $(DEMO)
	$(BIN)python -m intccms summary $(DEMO)

test: $(READY)
	$(BIN)python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile $(ARGS)

# JupyterLab opens on the README; "New" in its Dask panel starts a cluster with our plots.
lab: export JUPYTER_CONFIG_PATH := $(CURDIR)/jupyter$(if $(JUPYTER_CONFIG_PATH),:$(JUPYTER_CONFIG_PATH))
lab: export DASK_CONFIG ?= $(CURDIR)/jupyter/dask
lab: export JUPYTERHUB_SERVICE_PREFIX ?= /
lab: $(READY)
	$(BIN)python -m jupyterlab $(ARGS)

check: $(READY)
	$(BIN)python -m ruff check .
	$(BIN)python -m ruff format --check .
	$(BIN)python -m mypy
	$(BIN)python -m pytest -q tests/test_layers.py tests/test_public_names.py \
	    tests/test_house.py tests/test_pixi.py

bench: $(READY)
	$(BIN)python -m benchmarks $(ARGS)

docs: $(READY)
	$(BIN)python -m sphinx -q --keep-going -b html docs outputs/docs

chaos: $(READY)
	$(BIN)python -m benchmarks.chaos $(ARGS)

servers: .servers/root/.installed .servers/rucio/.installed

# Versions that were tried; neither can share an environment with the kit.
.servers/root/.installed: packages := root==0.1a12
.servers/rucio/.installed: packages := rucio==41.5.1 gunicorn
.servers/%/.installed:
	@mkdir -p .servers
	@$(call make_venv,$(PYTHON),.servers/$*)
	@$(call install,.servers/$*) $(packages)
	@touch $@

references: $(READY)
	$(BIN)python -m tools.references $(ARGS)

test-locked: .venv-locked/.installed
	.venv-locked/bin/python -m pytest $(ARGS)

.venv/.installed: pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "intccms needs Python 3.11 or newer; try: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Making .venv (once; a few minutes with the download) ..."
	@$(call make_venv,$(PYTHON),.venv)
	@$(call install,.venv) --editable '.[$(EXTRAS)]'
	@touch $@

.venv-locked/.installed: pyproject.toml pixi.lock tools/locked_versions.py
	@command -v "$(LOCKED_PYTHON)" >/dev/null || { \
	    echo "pixi.lock is for $(LOCKED_PYTHON), which is not on PATH;" \
	        "name another: make test-locked LOCKED_PYTHON=..." >&2; exit 1; }
	@echo "Making .venv-locked (once; a few minutes with the download) ..."
	@$(call make_venv,$(LOCKED_PYTHON),.venv-locked)
	@.venv-locked/bin/python tools/locked_versions.py pyproject.toml pixi.lock \
	    > .venv-locked/constraints.txt
	@$(call install,.venv-locked) --constraint .venv-locked/constraints.txt \
	    --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf .venv .venv-locked .servers $(DEMO) .pytest_cache .mypy_cache .ruff_cache build dist
	find src tests example_* -name __pycache__ -type d -prune -exec rm -rf {} +
