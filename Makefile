# `make demo` and `make test` do everything on a fresh machine, set-up included.
.DEFAULT_GOAL := help
.PHONY: demo test lint types format pins proto setup clean help

PY := .venv/bin/python
TESTS ?= tests
# Three are quicker, and ask more of tests on emulated servos.
WORKERS ?= 2
# A part of the tests covers a part of the code: only all of them are held to pyproject.toml's limit.
PART := $(if $(filter-out tests,$(TESTS)),--fail-under=0)

help: ## What there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Interpreter, .venv, pinned packages, missing Debian packages
	@sh scripts/setup.sh

demo: setup ## The whole path on emulated arms; DATASET=path takes a recorded data set instead
	@$(PY) -m agent.cli demo $(if $(DATASET),'--dataset=$(DATASET)') $(ARGS)

test: setup ## All tests, with coverage
	@$(PY) -m coverage erase
	@$(PY) -m coverage run -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS); status=$$?; \
	  $(PY) -m coverage combine --quiet && $(PY) -m coverage report --skip-covered --sort=cover $(PART) > coverage.txt; covered=$$?; \
	  grep '^TOTAL' coverage.txt; \
	  if [ $$covered -ne 0 ]; then cat coverage.txt; echo "coverage is below what pyproject.toml asks for"; fi; \
	  [ $$status -eq 0 ] && [ $$covered -eq 0 ]

lint: setup ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: setup ## mypy, strict
	@$(PY) -m mypy

format: setup ## Let ruff mend what it can
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .

pins: setup ## Write requirements.txt anew from pyproject.toml
	@$(PY) -m pip install --quiet uv
	@(echo "# Every package and version that Armada is built and tested with; written by \`make pins\`."; \
	  $(PY) -m uv pip compile pyproject.toml --extra dev --universal --python-version 3.12 --quiet --system-certs \
	  --no-emit-index-url --no-header --no-annotate) > requirements.new && mv requirements.new requirements.txt \
	  || { rm -f requirements.new; exit 1; }

proto: setup ## Write the gRPC code anew from agent/proto/*.proto
	@$(PY) -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. agent/proto/*.proto

clean: ## Remove what was made (not the recordings of any agent)
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* coverage.txt out armada.egg-info
