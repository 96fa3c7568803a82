# All that this project can be asked for, with nothing but Python >= 3.11 and make: every target sets itself up in .venv.
#   make test PYTHON=/opt/python3.12/bin/python3      another Python
#   make train-vdsm-mug ARGS="--ckpt_path last"       further options for every `vdsm-glass fit` of a target

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TRAINED := train-vdsm-pendulum train-vdsm-mmnist train-vdsm-sprites train-vdsm-mug train-vdsm-box/sprites train-vdsm-compact/sprites
TRAINED_ONCE := $(addprefix train-glass-,w_sprites w_sprites/compact w_sprites/actions w_sprites/joint tennis bair) \
  $(addprefix train-caddy-,w_sprites w_sprites/compact tennis bair) \
  $(addprefix train-latent_actions-,w_sprites w_sprites/compact bair folder) \
  $(foreach model,c_dsvae dbse,$(addprefix train-$(model)-,pendulum pendulum/compact sprites sprites/compact mug))
BENCHMARKS := decoder vdsm glass loader frechet startup
BOXED ?= glass-w_sprites
CKPT ?=
ARGS ?=
ONLY ?=

.PHONY: help install demo play test test-all fuzz mutate lint format bench gpu docs clean study-vdsm study-glass arena $(TRAINED) $(TRAINED_ONCE)

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z$$][^:]*:.*## / { sub(/^\$$\(TRAINED\)/, "train-vdsm-NAME", $$1); sub(/^\$$\(TRAINED_ONCE\)/, "train-MODEL-NAME", $$1); sub(/ study-/, ", -", $$1); printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## a private .venv with everything in it; done by every other target, too

demo: $(INSTALLED) ## train both stages of VDSM on pendula and write runs/demo/report.html
	$(BIN)/vdsm-glass demo

play: $(INSTALLED) ## play with the trained models of the box in the browser; CKPT=file: with another
	$(BIN)/vdsm-glass play $(CKPT) $(ARGS) || [ $$? = 130 ] # which is how Ctrl-C ends it

test: $(INSTALLED) ## the tests that every change should pass, in minutes
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-all: $(INSTALLED) ## all tests: every recipe, every command of the docs, browsers and compilers too
	$(BIN)/python -m pytest -n 2 --dist worksteal -m ""

fuzz: $(INSTALLED) ## the tests of properties and of hostile files, on new examples
	VDSM_GLASS_HYPOTHESIS=fuzz $(BIN)/python -m pytest -n 2 --dist worksteal -m "" $$(grep -rl "@given" tests)

mutate: $(INSTALLED) ## which small changes of the code no fast test notices; ONLY='vdsm_glass.vdsm.elbo.*': of one module
	$(BIN)/python -m pip install --quiet --editable '.[mutate]'
	$(BIN)/python -m mutmut run $(if $(ONLY),'$(ONLY)')
	$(BIN)/python -m mutmut results

lint: $(INSTALLED) ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

format: $(INSTALLED) ## put the code into the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(INSTALLED) ## time it against the loops and the floor; writes benchmarks/results/*.json
	set -e; for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name; done

gpu: $(INSTALLED) ## 25 minutes on one GPU: speed, VDSM's Sprites, GLASS, in runs/gpu/; ARGS=--rehearse: tiny, on a CPU
	$(BIN)/python -m benchmarks.gpu $(ARGS)

docs: $(INSTALLED) ## the documentation as a site, in site/; BOXED=name: the model in the box that its page plays with
	@if $(BIN)/vdsm-glass models 2>/dev/null | grep -q -w -e $(BOXED) && $(BIN)/vdsm-glass export --help | grep -q -e --web; \
	then rm -rf docs/play; $(BIN)/vdsm-glass export $(BOXED) --web docs/play || echo "so the site has no page to play with"; \
	else echo "no model $(BOXED) in the box: the site has no page to play with"; fi
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

$(TRAINED): train-vdsm-%: $(INSTALLED) ## NAME: pendulum, mmnist, sprites or mug; pretraining, then sequences
	$(BIN)/vdsm-glass fit --config experiments/vdsm/$*_pretrain.yaml $(ARGS)
	$(BIN)/vdsm-glass fit --config experiments/vdsm/$*_sequence.yaml $(ARGS)

$(TRAINED_ONCE): train-%: $(INSTALLED) ## experiments/MODEL/NAME.yaml; MODEL: glass, caddy, latent_actions, c_dsvae or dbse
	$(BIN)/vdsm-glass fit --config experiments/$(subst -,/,$*).yaml $(ARGS)

STUDY_vdsm := --config experiments/vdsm/compact/sprites_pretrain.yaml --config experiments/vdsm/compact/sprites_sequence.yaml
STUDY_glass := --config experiments/glass/w_sprites/compact.yaml
study-vdsm study-glass: study-%: $(INSTALLED) ## five seeds of the compact recipe: mean and spread; ARGS="-- --data.sheets DIR"
	$(BIN)/vdsm-glass study $(STUDY_$*) $(ARGS)

arena: $(INSTALLED) ## every model on W-Sprites and on Sprites, three seeds: a page each; ARGS="-- --data.sheets DIR"
	$(BIN)/vdsm-glass arena w_sprites $(ARGS)
	$(BIN)/vdsm-glass arena sprites $(ARGS)

clean: ## remove the .venv and caches; runs/ and data/ stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv installs in a sixth of pip's time; where it cannot be had or cannot reach the packages, pip does it. Bytecode is
# compiled here, once: where Python may not write it, every start would compile 3 000 files again.
$(INSTALLED): pyproject.toml
	@test -x $(BIN)/python || sh -c '$(FIND_PYTHON)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	@$(BIN)/python -m pip install --quiet uv || echo "uv cannot be had here; going on with pip"
	@if [ -x $(BIN)/uv ] && $(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --editable '.[dev]'; then :; \
	else $(BIN)/python -m pip install --editable '.[dev]'; fi
	@$(BIN)/python -m compileall -q vdsm_glass data_modules callbacks
	@touch $@

# A name may be there and not run (pyenv's shims), and may be too old: both are tried out.
define FIND_PYTHON
for name in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3 python; do \
  if "$$name" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then \
    if "$$name" -m venv $(VENV); then exit 0; fi; \
    rm -rf $(VENV); \
    echo "$$name cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
  fi; \
done; \
echo "Python 3.11 or newer is needed and was not found; install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1
endef
