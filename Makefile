# Every target is a command one could type by hand; they need only Python >= 3.11 and make.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
# they go with what they stand for
STAMPS := .venv/stamps
ZOO := $(BIN)/python -m spike_zoo

# A method is named in experiments/ and nowhere here: needs.yaml (archives, tables of others that it
# is compared with), stages.yaml (what trains, in order).  Names below a key, and what one says:
entries = $(shell sed -n '/^$(2):/,/^[^ ]/s|^  \([^ :]*\): .*|\1|p' $(wildcard $(1)) /dev/null)
entry = $(shell sed -n '/^$(2):/,/^[^ ]/s|^  $(3): *||p' $(wildcard $(1)) /dev/null)
# the archives and the runs that a configuration reads
archives_in = $(shell sed -n 's|.*archive: *\(data/[^ ,}]*\).*|\1|p' $(wildcard $(1)) /dev/null)
runs_in = $(shell sed -n 's|.*: *\(runs/[^ ,}]*\)/checkpoints/.*|\1/result.json|p' $(wildcard $(1)) /dev/null)

METHODS := $(patsubst experiments/%/sweep.yaml,%,$(wildcard experiments/*/sweep.yaml))
METHOD ?= $(METHODS)
PROFILE ?= cpu
STAGED := $(patsubst experiments/%/stages.yaml,%,$(wildcard experiments/*/stages.yaml))
ARCHIVES := $(sort $(foreach method,$(METHODS),$(call entries,experiments/$(method)/needs.yaml,archives)))

.PHONY: help setup demo test test-slow lint audit train reproduce bench notebooks docs ablation-table smoke-tables gpu clean
.PHONY: $(STAGED) $(METHODS:%=ablation-%)
# $$ in prerequisites is read once a target, and what $$* stands for, is known
.SECONDEXPANSION:

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
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal

test: setup ## run the tests, one process per core, but for the slow ones: minutes
	$(PYTEST) -m 'not slow' $(ARGS)

test-slow: setup ## run the slow tests: that methods learn, that killed runs resume, whole sweeps
	$(PYTEST) -m slow $(ARGS)

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

# needs.yaml or recipes.yaml says how an archive is made; the default one is what simulate makes
how_made = $(or $(shell sed -n 's|^  $(1): ||p' $(wildcard experiments/*/needs*.yaml experiments/*/recipes.yaml) /dev/null | sort -u | head -n 1), \
  $(if $(filter data/default.h5,$(1)),simulate,$(error $(1): no experiments/*/needs.yaml says how it is made)))

data/%.h5: | $(STAMPS)/setup
	$(ZOO) $(call how_made,$@) $(SIMULATE) --out $@

# --ckpt_path last: what was interrupted goes on where it was
define fit
$(ZOO) fit --config $< --run_dir $(@D) --ckpt_path last $(precision) $(ARGS)
endef

DEMO := runs/demo
DEMO_FILE := experiments/demo.yaml
DEMO_FIT := $(DEMO)/$(call entries,$(DEMO_FILE),fit)/result.json
DEMO_CONFIG := $(call entry,$(DEMO_FILE),fit,$(call entries,$(DEMO_FILE),fit))
DEMO_TESTS := $(patsubst %,$(DEMO)/%/test/result.json,$(call entries,$(DEMO_FILE),test))
DEMO_SCENE := $(call entry,$(DEMO_FILE),show,scene)

# the demo alone takes the fastest precision: in bfloat16 some stages did not learn (experiments/README.md)
$(DEMO_FIT): precision = --trainer.precision $$($(ZOO) doctor --precision)
$(DEMO_FIT): $(DEMO_CONFIG) | $$(call archives_in,$(DEMO_CONFIG))
	$(fit)

$(DEMO_TESTS): $(DEMO)/%/test/result.json: $$(call entry,$(DEMO_FILE),test,$$*) \
  | $$(call archives_in,$$(call entry,$(DEMO_FILE),test,$$*))
	$(ZOO) test --config $< --run_dir $(DEMO)/$*

$(DEMO)/$(DEMO_SCENE).mp4: $(DEMO_FIT)
	$(ZOO) archive export $(call archives_in,$(DEMO_CONFIG)) $(@:.mp4=.dat) --name $(DEMO_SCENE) --overwrite
	$(ZOO) reconstruct $(@:.mp4=.dat) --method $(<D)/checkpoints/best.ckpt \
	  --stride 2 --out $@ --overwrite

demo: setup $(DEMO_TESTS) $(DEMO_FIT) $(DEMO)/$(DEMO_SCENE).mp4 ## simulate, train a small network, compare, reconstruct a video, write a page
	@$(ZOO) report $(DEMO) --title 'Spike Zoo demo' --out $(DEMO)/index.html --overwrite

# the quick look: one seed of each row, a run on every core
SWEEP_smoke := --only seed_everything=0 --jobs 0

ablation-table: $(METHOD:%=ablation-%) ## run what is missing of METHOD's ablation under PROFILE (smoke, cpu, long, longer, gpu, paper), then its table

# sweep_$(PROFILE).yaml, table_$(PROFILE).yaml and needs_$(PROFILE).yaml where a profile has its own
of_profile = $(firstword $(wildcard experiments/$(1)/$(2)_$(PROFILE).yaml) experiments/$(1)/$(2).yaml)

$(METHODS:%=ablation-%): ablation-%: setup \
  $$(addprefix ablation-,$$(call entries,$$(call of_profile,$$*,needs),tables)) \
  | $$(call entries,$$(call of_profile,$$*,needs),archives)
	@code=0; $(ZOO) sweep --profile $(PROFILE) $(SWEEP_$(PROFILE)) $(ARGS) $(call of_profile,$*,sweep) || code=$$?; \
	[ $$code -le 1 ] || exit $$code; \
	$(ZOO) table --profile $(PROFILE) $(call of_profile,$*,table) && exit $$code # 1: some runs failed

# archives that are not there are made small for this look alone, and never left for other targets
smoke-tables: setup ## run every table of every method from nothing in minutes, and look whether they are whole
	trap 'rm -f $(filter-out $(wildcard $(ARCHIVES)),$(ARCHIVES))' EXIT; \
	$(MAKE) $(ARCHIVES) SIMULATE='--size small' && \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -W default -n auto --maxprocesses 4 tests/rendered/smoke_runs.py && \
	$(MAKE) ablation-table PROFILE=smoke && \
	$(BIN)/python -m pytest -q tests/rendered/smoke_tables.py

# a stage: its configuration, and the runs whose checkpoints that reads
FITS := $(foreach method,$(STAGED),$(patsubst %,runs/$(method)/%/result.json,$(call entries,experiments/$(method)/stages.yaml,stages)))
stage = $(call entry,experiments/$(patsubst %/,%,$(dir $(1)))/stages.yaml,stages,$(notdir $(1)))

$(FITS): runs/%/result.json: $$(call stage,$$*) $$(call runs_in,$$(call stage,$$*)) \
  | $$(call archives_in,$$(call stage,$$*))
	$(fit)

$(STAGED): setup $$(filter runs/$$@/%,$(FITS))
	@for run in $(patsubst %/result.json,%,$(filter runs/$@/%,$^)); do \
	  echo "$$run/result.json, pictures in $$run/images, weights $$run/checkpoints/best.ckpt"; done; \
	echo "how to use them: spike_zoo/methods/$@/README.md"

train: $(filter $(METHOD),$(STAGED)) ## train the stages of METHOD in order, going on where it was interrupted (in short: make METHOD)
	@$(if $^,:,echo "$(METHOD): no stages.yaml in experiments/$(METHOD) says what to train"; exit 2)

runs/gpu.md: | $(STAMPS)/setup
	@mkdir -p $(@D)
	$(BIN)/python -m benchmarks.report gpu --out $@

# sweep_gpu.yaml and the stages of METHOD; what the time stops saves first, so that the next piece goes on
MINUTES ?= 9
piece = timeout --signal=TERM $(MINUTES)m $(1) || \
  { [ $$? -eq 124 ] && echo "$(MINUTES) minutes are over: the same command goes on"; exit; }
gpu_sweeps = $(wildcard $(METHOD:%=experiments/%/sweep_gpu.yaml))
gpu: setup runs/gpu.md | $$(foreach method,$(METHOD),$$(call entries,experiments/$$(method)/needs.yaml,archives)) ## on a machine with a GPU: latency, steps, then rows and stages of METHOD in pieces of MINUTES, again to go on
	@$(if $(gpu_sweeps)$(filter $(METHOD),$(STAGED)),:,echo "$(METHOD): no sweep_gpu.yaml and no stages.yaml in experiments/$(METHOD)"; exit 2)
	@for sweep in $(gpu_sweeps); do $(call piece,$(ZOO) sweep --profile gpu $$sweep); done
	@for method in $(filter $(METHOD),$(STAGED)); do \
	  $(call piece,$(MAKE) train METHOD=$$method ARGS="--config configs/profiles/gpu.yaml"); done

RECIPES := $(wildcard experiments/*/recipes.yaml)
SHIPPED := $(call entries,$(RECIPES),recipes)
REPRODUCED := $(SHIPPED:%=runs/reproduce/%/result.json)
recipe = $(call entry,$(RECIPES),recipes,$(1))

$(REPRODUCED): runs/reproduce/%/result.json: $$(call recipe,$$*) $$(call runs_in,$$(call recipe,$$*)) \
  | $$(call archives_in,$$(call recipe,$$*))
	$(fit)

ifneq ($(filter reproduce,$(MAKECMDGOALS)),)
$(if $(filter $(NAME),$(SHIPPED)),,$(error NAME=$(NAME): weights that ship are $(SHIPPED)))
endif
reproduce: setup runs/reproduce/$(NAME)/result.json ## run the recipe of the shipped weights NAME, going on where it was interrupted, and compare
	$(BIN)/python -m benchmarks.reproduced $(call entry,$(RECIPES),records,$(NAME)) runs/reproduce/$(NAME)

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

# -W: a link that leads nowhere, a page that nothing leads to, a name that is not there end it
docs: setup $(STAMPS)/docs ## write the web site: guides, methods with their tables, notebooks, reference; to site/
	$(BIN)/sphinx-build -W --keep-going -q -c docs . site
	@echo site/index.html

clean: ## remove what the targets made, except runs and data
	rm -rf .venv build dist *.egg-info
