# Large Models, Hands On. Two commands do all a learner needs: `make lab` and `make test`.
# Variables: PYTHON (which Python makes the environment), TORCH (auto, cpu or cuda: which build of PyTorch),
# LAB_FLAGS (more options for JupyterLab), NOTEBOOKS (only these for `make notebooks` and `make course`),
# BUNDLE and WORKSHOP (where `make bundle` and `make workshop` write), RESULTS (part of an experiment's name for
# `make results`, or --all: also what this machine has computed with this very code).

PYTHON ?= python3
TORCH ?= auto
LAB_FLAGS ?=
NOTEBOOKS ?=
BUNDLE ?= data/cache/bundle
WORKSHOP ?= data/cache/workshop
RESULTS ?=
# When the set-up began, in seconds since 1970; the stages count from there.
ifndef STARTED
STARTED := $(shell date +%s)
endif

VENV := .venv
PY := $(VENV)/bin/python
LAB_STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test
SET_UP := $(PYTHON) course_lib/set_up.py --venv $(VENV) --torch $(TORCH)

.DEFAULT_GOAL := help
.PHONY: help lab bundle workshop test check course notebooks pictures results bench format data clean

help: ## these lines
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'
	@echo "On Linux without an NVIDIA GPU, \`make lab TORCH=cpu\` takes PyTorch without CUDA (0.2 GB, not 3 GB)"
	@echo "from PyTorch's own index, https://download.pytorch.org/whl/cpu. No other place is asked."

lab: $(LAB_STAMP) ## set up what is missing, then open the first notebook in JupyterLab
	$(PY) -m course_lib lab $(LAB_FLAGS)

bundle: $(LAB_STAMP) ## write one folder from which a class sets the course up without a network
	$(PY) -m course_lib bundle --out $(BUNDLE) --torch $(TORCH)

workshop: $(LAB_STAMP) ## write notebooks for a class, with and without solutions, slides and a guide
	$(PY) -m course_lib workshop --out $(WORKSHOP)

test: $(TEST_STAMP) data ## set up what is missing, then lint, types, layers, unit tests, results, notebooks, browser
	$(PY) tests/tools/stages.py --started $(STARTED)

check: $(TEST_STAMP) data ## in a few minutes: lint, types, layers and the unit tests that are fast
	$(PY) tests/tools/stages.py --check --started $(STARTED)

course: $(TEST_STAMP) data ## run every notebook, compare with its stored outputs, print one table
	$(PY) tests/tools/run_notebooks.py check $(NOTEBOOKS)

notebooks: $(TEST_STAMP) data ## run every notebook again (preset cpu) and store its outputs
	$(PY) tests/tools/run_notebooks.py store $(NOTEBOOKS)

pictures: $(TEST_STAMP) data ## open the notebooks in a browser and store a picture of each widget for readers
	STORE_PICTURES=1 $(PY) -m pytest -q tests/browser -k pictures

results: $(TEST_STAMP) data ## compute the results that ship with the course again, store them, print what moved
	PYTHONPATH=tests/tools $(PY) -m results make $(RESULTS)

bench: $(TEST_STAMP) data ## measure against other libraries, side by side
	@set -e; for script in tests/benchmarks/*.py; do echo "== $$script"; $(PY) "$$script"; done

format: $(TEST_STAMP) ## put the code into ruff's form, the notebooks into their stored one
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .
	$(PY) tests/tools/run_notebooks.py form

clean: ## remove reports, screenshots and caches of tools (not .venv, not data/cache)
	rm -rf tests/reports tests/browser/artefacts .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Says itself what is missing and how to go on; does nothing where all is there.
data: | $(LAB_STAMP)
	@$(PY) -m course_lib data

# A stamp is written last, by the set-up itself: an interrupted set-up is never taken for a finished one.
# The tests' environment contains the learner's, so it writes both.
$(LAB_STAMP): pyproject.toml constraints.txt
	@$(SET_UP) --stamp $@ --again "make lab"

$(TEST_STAMP): pyproject.toml constraints.txt
	@$(SET_UP) --extras test --stamp $(LAB_STAMP) $@ --again "make test"
