# Every target is a command that can be typed by hand; they need Python >= 3.11 and make only.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/stamps
RUN := $(BIN)/python experiments/run.py
export PYTHONDONTWRITEBYTECODE := # compiled modules are kept, because many short processes import them
# one thread per process: with more, processes that share cores wait for each other in every operation
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q
PARALLEL := -n auto --maxprocesses 8 --dist worksteal
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
STAGED := $(patsubst experiments/%/stages.yaml,%,$(wildcard experiments/*/stages.yaml))
PROFILE ?= cpu
MINUTES ?= 9

.PHONY: help setup demo test test-slow fuzz lint audit sbom hashes train reproduce bench benchmark-page notebooks docs ablation-table smoke-tables gpu release clean
.PHONY: $(STAGED)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMPS)/setup: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python >= 3.11 is needed; name one with: make setup PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv
	$(PIP) --no-compile -e '.[dev]'
	@$(BIN)/python -m compileall -q -j 0 -x '/tests?/' .venv/lib >/dev/null || true # pip uses one core
	@mkdir -p $(STAMPS) && touch $@

# an extra of pyproject.toml: audit, docs or notebooks
$(STAMPS)/%: $(STAMPS)/setup
	$(PIP) -e '.[$*]'
	@touch $@

setup: $(STAMPS)/setup ## create .venv and install everything; nothing if it is up to date

demo: setup ## simulate, train a small network, compare it, reconstruct a video, write a page
	$(RUN) demo $(ARGS)

test: setup ## run the tests except slow ones and repository checks, one process per core: minutes
	$(PYTEST) $(PARALLEL) -m 'not slow and not repo' $(ARGS)

test-slow: setup ## run the slow tests: training, resuming killed runs, whole sweeps
	$(PYTEST) $(PARALLEL) -m slow $(ARGS)

fuzz: setup ## read damaged and hostile files with every parser for SECONDS=600
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS),600) $(ARGS)

lint: setup ## check sizes, format, style, types, import layers and committed files
	$(PYTEST) tests/repo/test_budget.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -m 'repo and not slow' --ignore tests/repo/test_budget.py

# --strict: a package that cannot be looked up is an error
audit: setup $(STAMPS)/audit ## check the pinned versions for known vulnerabilities (needs the network)
	$(BIN)/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

sbom: setup $(STAMPS)/audit ## write the components of the tested set to sbom.json (CycloneDX)
	$(BIN)/cyclonedx-py requirements constraints.txt --output-file sbom.json

hashes: setup $(STAMPS)/audit ## write the pinned versions with the hashes of their files to requirements.txt
	$(BIN)/uv pip compile constraints.txt --no-deps --generate-hashes --no-header --no-annotate --python-version 3.11.7 --quiet --output-file requirements.txt

data/%.h5: | $(STAMPS)/setup
	$(RUN) file $@

experiments/%.safetensors: | $(STAMPS)/setup
	$(RUN) file $@

ablation-table: setup ## run the missing rows of METHOD (or all) under PROFILE (smoke, cpu, long, longer, gpu, paper), then its table
	$(RUN) ablation-table $(METHOD) --profile $(PROFILE) $(ARGS)

smoke-tables: setup ## run a table of each kind from scratch with tiny runs (minutes), and check them; ALL=1: every table
	$(RUN) smoke-tables $(if $(ALL),--all)

train: setup ## train the stages of METHOD in order, continuing interrupted runs (short: make METHOD)
	$(RUN) train $(or $(METHOD),$(STAGED)) $(ARGS)

$(STAGED): setup
	$(RUN) train $@ $(ARGS)

reproduce: setup ## train the recipe of the shipped weights NAME and compare with the committed record
	$(RUN) reproduce '$(NAME)' $(ARGS)

gpu: setup ## on a GPU: measure latency and steps, then run rows and stages of METHOD for MINUTES; repeat to continue
	$(RUN) gpu $(METHOD) --minutes $(MINUTES)

bench: setup ## run the benchmarks and print one table with their limits
	$(BIN)/python -m benchmarks.report $(ARGS)

benchmark-page: setup ## write docs/benchmark.md from the committed records
	$(BIN)/python -m benchmarks.page $(ARGS)

notebooks: setup $(STAMPS)/notebooks | data/scenes.h5 ## synchronise the notebooks with their source text and run them
	$(BIN)/jupytext --sync notebooks/*.py
	$(BIN)/python -m pytest -q -W default --nbmake --overwrite --nbmake-timeout=900 notebooks

# -W: broken links, pages outside the tree and unknown names are errors
docs: setup $(STAMPS)/docs ## write the web site to site/: guides, methods with their tables, notebooks, reference
	$(BIN)/sphinx-build -W --keep-going -q -c docs . site
	@echo site/index.html

# the package of a user: from the wheel, without the checkout, with the oldest and the newest libraries
release: setup $(STAMPS)/audit ## build wheel and sdist, check them in new environments, print what is left to do
	rm -rf dist build/release
	$(BIN)/uv build --quiet
	set -e; for libraries in lowest-direct highest; do \
	  python=build/release/$$libraries/bin/python; \
	  $(BIN)/uv venv --quiet build/release/$$libraries; \
	  $(BIN)/uv pip install --quiet --python $$python --resolution $$libraries dist/*.whl; \
	  echo "$$libraries:"; $$python -P -m spike_zoo doctor; \
	  $$python -P -m spike_zoo simulate --size small --out build/release/$$libraries/scenes.h5; \
	  $$python -P -m spike_zoo reconstruct build/release/$$libraries/scenes.h5 --name 'test-*' --out "build/release/$$libraries/images/{name}"; \
	done
	@echo "dist/: $$(ls dist)"
	@echo "Left to do: date CHANGELOG.md; git tag v$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml); git push --tags;"
	@echo "$(BIN)/uv publish; archive the tag for a DOI, and state it in CITATION.cff"

clean: ## remove the files of all targets, except runs and data
	rm -rf .venv build dist *.egg-info
