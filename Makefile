# What a person types; `make help` lists it. Everything runs in .venv, inside the checkout.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
PYTEST_ARGS ?=
SCAN ?=
DEMO_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# The stamp carries a checksum, so the environment is reused for as long as these files say the same.
VIEWER := slicekit/review/page/vendor/niivue.js
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)

.PHONY: help setup web demo test lint check golden numbers docs clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv and install what was tested into it (about 6 GB)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "slicekit needs Python 3.11 or newer; name one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "$(PYTHON) could not make $(VENV); on Debian and Ubuntu install python3-venv" >&2; exit 1; }
	rm -f $(VENV)/.installed-*
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,cpu,web]' -c constraints.txt
	touch $(STAMP)

web: $(VIEWER) ## fetch NiiVue through npm: the three planes of slicekit review (Node.js is needed)

$(VIEWER): web/package-lock.json web/licences.txt
	@command -v npm >/dev/null || { \
	  echo "npm is not there; install Node.js 18 or newer, then run make web again" >&2; exit 1; }
	npm ci --prefix web --ignore-scripts --no-audit --no-fund
	mkdir -p $(@D)
	cp web/licences.txt $(@D)/licences.txt
	for file in web/node_modules/{,@*/}*/LICENSE*; do \
	  [[ "$$file" == *playwright* ]] || { printf '\n\n%s\n\n' "$${file#web/node_modules/}"; cat "$$file"; }; \
	done >> $(@D)/licences.txt
	cp web/node_modules/@niivue/niivue/dist/index.js $@

demo: setup ## segment a phantom and score it; SCAN=path segments that scan instead
	mkdir -p demo
ifeq ($(strip $(SCAN)),)
	rm -f demo/phantom.nii.gz demo/phantom_labels.nii.gz
	$(BIN)/slicekit phantom demo/phantom.nii.gz
	$(BIN)/python infer.py demo/phantom.nii.gz -o demo/labels.nii.gz --preview --overwrite $(DEMO_ARGS)
	$(BIN)/slicekit evaluate demo/labels.nii.gz demo/phantom_labels.nii.gz
else
	rm -f demo/phantom.nii.gz demo/phantom_labels.nii.gz
	$(BIN)/python infer.py "$(SCAN)" -o demo/labels.nii.gz --preview --overwrite $(DEMO_ARGS)
endif
	@echo "Look into demo/:" && ls demo

test: setup ## run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: setup ## check format, style, types and the direction of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test ## lint, then test: what must pass before a change goes in

golden: setup ## compute the golden values again, after a change that was meant to move them
	$(BIN)/python tests/golden/make.py

numbers: setup ## write docs/numbers.md and the model cards from benchmarks/results
	$(BIN)/python benchmarks/make_numbers.py
	$(BIN)/python benchmarks/make_cards.py

docs: setup ## write docs/reference from docstrings and commands
	$(BIN)/python docs/make_reference.py

clean: ## remove the environment, the demo and everything that tools left behind
	rm -rf $(VENV) demo build dist web/node_modules $(dir $(VIEWER)) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
