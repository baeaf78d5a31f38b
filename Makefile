# Every target is a command one could type by hand; they need only Python >= 3.11 and make.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
STAMPS := .stamps
ZOO := $(BIN)/python -m spike_zoo
DEMO := demo

.PHONY: help setup demo test lint bench notebooks clean

help: ## show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMPS)/setup: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python >= 3.11 is needed; name one with: make setup PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@mkdir -p $(STAMPS) && touch $@

setup: $(STAMPS)/setup ## make .venv and install everything (begins demo and test; does nothing twice)

test: setup ## run the tests
	$(BIN)/python -m pytest -q $(ARGS)

lint: setup ## check format, style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

data/default.h5: | $(STAMPS)/setup
	$(ZOO) simulate --out $@

$(DEMO)/stir/result.json: configs/stir_demo.yaml | data/default.h5
	rm -rf $(DEMO)/stir
	$(ZOO) fit --config configs/stir_demo.yaml --run_dir $(DEMO)/stir

$(DEMO)/%/test/result.json: configs/classical/%.yaml | data/default.h5
	$(ZOO) test --config $< --run_dir $(DEMO)/$*

$(DEMO)/street.dat: | data/default.h5
	$(ZOO) archive export data/default.h5 $(DEMO)/recordings --name test-astronaut-medium-00

bench: setup ## measure against the limits, side by side, as one table
	$(BIN)/python -m benchmarks.report $(ARGS)

$(STAMPS)/notebooks: $(STAMPS)/setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[notebooks]'
	@touch $@

notebooks: setup $(STAMPS)/notebooks | data/default.h5 ## bring the notebooks up to date with their text and run them
	$(BIN)/jupytext --sync notebooks/*.py
	$(BIN)/python -m pytest -q --nbmake --nbmake-timeout=900 notebooks

clean: ## remove what the targets made, except runs and data
	rm -rf .venv $(STAMPS) demo build dist *.egg-info
