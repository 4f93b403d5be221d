# `make data` and `make test` create .venv themselves, on a machine with Python and make only.

PIPELINE ?= pipelines/demo.toml
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup data train eval test bench lint format docs dist clean

help: ## Show what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'
	@echo "  PIPELINE=pipelines/X.toml chooses another pipeline (now: $(PIPELINE))"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
		{ echo "Python 3.10-3.13 is needed; name one with make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(STAMP) ## Create .venv and install the pinned packages

data: $(STAMP) ## Build the pipeline's shards (the demo songs by default)
	$(BIN)/apollo-data build-h5 --config $(PIPELINE)

train: $(STAMP) ## Train the pipeline's network; a second call resumes (DEVICE=cpu, cuda, mps)
	$(BIN)/apollo-model train --config $(PIPELINE) $(if $(DEVICE),--device $(DEVICE))

eval: $(STAMP) ## Score the trained network beside the codec
	$(BIN)/apollo-model eval --config $(PIPELINE) $(if $(DEVICE),--device $(DEVICE))

test: $(STAMP) ## Run all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

bench: $(STAMP) ## Measure speed and memory, each beside its plain alternative
	$(BIN)/python -m benchmarks

lint: $(STAMP) ## Check style, types and the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## Build the documentation and the API reference into build/site
	$(BIN)/mkdocs build --strict

dist: $(STAMP) ## Build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel

clean: ## Delete what the demo made (never your own songs)
	rm -rf data/demo runs/demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
