# Every target is a command one could type by hand; they need only Python >= 3.11 and make.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
# they go with what they stand for
STAMPS := .venv/stamps
ZOO := $(BIN)/python -m spike_zoo
DEMO := runs/demo
SSDM := runs/ssdm
SCENE := test-astronaut-medium-01

.PHONY: help setup demo test lint audit ssdm bench notebooks docs ablation-table smoke-tables clean

help: ## show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMPS)/setup: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python >= 3.11 is needed; name one with: make setup PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@mkdir -p $(STAMPS) && touch $@

setup: $(STAMPS)/setup ## make .venv and install everything (begins demo and test; does nothing twice)

# one thread each: processes that share cores wait for each other in every operation
test: setup ## run the tests, one process per core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal $(ARGS)

lint: setup ## check format, style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(STAMPS)/audit: $(STAMPS)/setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[audit]'
	@touch $@

# --strict: where the index cannot be reached every package is skipped, which is no pass
audit: setup $(STAMPS)/audit ## look for known vulnerabilities in the tested set (needs the network)
	$(BIN)/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

data/default.h5: | $(STAMPS)/setup
	$(ZOO) simulate $(SIMULATE) --out $@

# --ckpt_path last: a demo that was interrupted goes on where it was
$(DEMO)/stir/result.json: configs/stir_demo.yaml | data/default.h5
	$(ZOO) fit --config $< --run_dir $(DEMO)/stir --ckpt_path last \
	  --trainer.precision $$($(ZOO) doctor --precision)

$(DEMO)/%/test/result.json: configs/classical/%.yaml | data/default.h5
	$(ZOO) test --config $< --run_dir $(DEMO)/$*

$(DEMO)/$(SCENE).mp4: $(DEMO)/stir/result.json
	$(ZOO) archive export data/default.h5 $(DEMO)/$(SCENE).dat --name $(SCENE) --overwrite
	$(ZOO) reconstruct $(DEMO)/$(SCENE).dat --method $(DEMO)/stir/checkpoints/best.ckpt \
	  --stride 2 --out $@ --overwrite

demo: setup $(DEMO)/tfp/test/result.json $(DEMO)/tfi/test/result.json $(DEMO)/tfi9/test/result.json $(DEMO)/stir/result.json $(DEMO)/$(SCENE).mp4 ## simulate, train a small STIR, compare, reconstruct a video, write a page
	@$(ZOO) page $(DEMO) --title 'Spike Zoo demo' --out $(DEMO)/index.html

# Of one METHOD, or of all that have a sweep; sweep_$(PROFILE).yaml where a profile has its own.
METHOD ?= $(patsubst experiments/%/sweep.yaml,%,$(wildcard experiments/*/sweep.yaml))
PROFILE ?= cpu
DEBLUR := data/deblur.h5 data/deblur_v4.h5 data/deblur_v8.h5
ARCHIVES := data/default.h5 $(DEBLUR)

# the quick look: one seed of each row, a run on every core
SWEEP_smoke := --only seed_everything=0 --jobs 0

ablation-table: $(METHOD:%=ablation-%) ## run what is missing of METHOD's ablation under PROFILE (smoke, cpu, gpu, paper), then its table

ablation-%: setup | data/default.h5
	@code=0; $(ZOO) sweep --profile $(PROFILE) $(SWEEP_$(PROFILE)) $(ARGS) \
	  $(firstword $(wildcard experiments/$*/sweep_$(PROFILE).yaml) experiments/$*/sweep.yaml) || code=$$?; \
	[ $$code -le 1 ] || exit $$code; \
	$(ZOO) table experiments/$*/table.yaml --profile $(PROFILE) && exit $$code # 1: some runs failed

ablation-stir: ablation-classical # its tables compare with them
ablation-ssdm: | $(DEBLUR)

# archives that are not there are made small for this look alone, and never left for other targets
smoke-tables: setup ## run every table of every method from nothing in minutes, and look whether they are whole
	trap 'rm -f $(filter-out $(wildcard $(ARCHIVES)),$(ARCHIVES))' EXIT; \
	$(MAKE) ablation-table PROFILE=smoke SIMULATE='--size small' && \
	$(BIN)/python -m pytest -q tests/rendered/smoke_tables.py

data/deblur.h5: | $(STAMPS)/setup
	$(ZOO) simulate --kind deblur $(SIMULATE) --out $@

data/deblur_v%.h5: | $(STAMPS)/setup
	$(ZOO) simulate --kind deblur --threshold $* $(SIMULATE) --out $@

# each stage reads the checkpoints of those before it by the paths in its configuration
$(SSDM)/%/result.json: configs/ssdm_%.yaml | data/deblur.h5
	$(ZOO) fit --config $< --run_dir $(SSDM)/$* --ckpt_path last \
	  --trainer.precision $$($(ZOO) doctor --precision) $(ARGS)

$(SSDM)/upsample/result.json: $(SSDM)/denoise/result.json
$(SSDM)/student/result.json: $(SSDM)/upsample/result.json

ssdm: setup $(SSDM)/student/result.json ## train the three stages of S-SDM, going on where it was interrupted
	@for stage in denoise upsample student; do \
	  echo "$$stage: $(SSDM)/$$stage/result.json, pictures in $(SSDM)/$$stage/images"; done
	@echo "student: $(SSDM)/student/checkpoints/best.ckpt; use it: $(ZOO) deblur IMAGE SPIKES --weights $(SSDM)/student/checkpoints/best.ckpt --out X.mp4"

bench: setup ## measure against the limits, side by side, as one table
	$(BIN)/python -m benchmarks.report $(ARGS)

$(STAMPS)/notebooks: $(STAMPS)/setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[notebooks]'
	@touch $@

notebooks: setup $(STAMPS)/notebooks | data/default.h5 ## bring the notebooks up to date with their text and run them
	$(BIN)/jupytext --sync notebooks/*.py
	$(BIN)/python -m pytest -q -W default --nbmake --overwrite --nbmake-timeout=900 notebooks

$(STAMPS)/docs: $(STAMPS)/setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

docs: setup $(STAMPS)/docs ## write the methods' pages and the reference of all public names to docs/api
	$(BIN)/python docs/build.py docs/api

clean: ## remove what the targets made, except runs and data
	rm -rf .venv build dist *.egg-info
