# diffuscope: `make demo` and `make test` are all a new user needs. Needs python3 (3.11 or newer) and make.
#
#   PYTHON           the Python that makes the environment. If it has a torch of its own (an active virtual
#                    environment, say), that torch is used and left unchanged.        default: python3
#   OWN_TORCH=no     ignore such a torch and install the pinned one.                  default: auto
#   VENV             the environment's folder, a path without blanks. One of yours that has torch keeps it.
#   TORCH_INDEX_URL  where Linux takes the CPU build of torch; empty for pip's own index.
#   ARGS             more arguments for the command: make test ARGS="-k cli -x"
#   BENCH            which benchmarks: make bench BENCH=queries, make bench BENCH="overhead gpu" ARGS=--quick

PYTHON ?= python3
VENV ?= .venv
OWN_TORCH ?= auto
TORCH_INDEX_URL ?= https://download.pytorch.org/whl/cpu
ARGS ?=

# measuring.py is what the others share.
BENCH ?= $(filter-out measuring profiling,$(notdir $(basename $(wildcard benchmarks/*.py))))

# Relative paths only, quoted in recipes: the checkout may lie in a folder whose name has blanks.
BIN := $(VENV)/bin
# One stamp for each set of extras, so that a second run installs nothing.
RECIPE := pyproject.toml constraints.txt scripts/environment.py
# The page is built by `make ui` and by the tests, not by the installation.
INSTALL = @DIFFUSCOPE_NO_PAGE=1 "$(PYTHON)" scripts/environment.py --venv "$(VENV)" --own-torch "$(OWN_TORCH)" --torch-index-url "$(TORCH_INDEX_URL)"

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench ui docs clean

help: ## show this list
	@echo "diffuscope: see what a text-to-image model looks at while it draws"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

$(VENV)/.installed-models: $(RECIPE)
	$(INSTALL) --extras models,server
	@touch "$@"

$(VENV)/.installed-dev: $(RECIPE)
	$(INSTALL) --extras models,dev
	@touch "$@"

$(VENV)/.installed-docs: $(RECIPE)
	$(INSTALL) --extras docs
	@touch "$@"

demo: $(VENV)/.installed-models ## record the demo prompt on the shipped model and write its report
	@"$(BIN)/diffuscope" demo $(ARGS)

# ARGS="-n auto --dist loadfile" hands the files of tests to the cores one by one: a third faster, but three tests that
# stop a process at a moment of its work may then miss it.
test: $(VENV)/.installed-dev ## run the whole test suite
	@"$(BIN)/python" -m pytest -q $(ARGS)

check: $(VENV)/.installed-dev ## lint, formatting, types, import layers
	@"$(BIN)/ruff" check .
	@"$(BIN)/ruff" format --check .
	@"$(BIN)/mypy"
	@"$(BIN)/lint-imports"

format: $(VENV)/.installed-dev ## put the code into the project's format
	@"$(BIN)/ruff" check --fix .
	@"$(BIN)/ruff" format .

bench: $(VENV)/.installed-dev ## run every benchmark, or those in BENCH (all of them: an hour)
	@set -e; for name in $(BENCH); do echo "== $$name"; "$(BIN)/python" "benchmarks/$$name.py" $(ARGS); done

ui: ## build the web page into the package (takes a Node from PyPI where there is none), and test its parts
	@if [ -x "$(BIN)/python" ]; then "$(BIN)/python" scripts/page.py --test $(ARGS); else "$(PYTHON)" scripts/page.py --test $(ARGS); fi

docs: $(VENV)/.installed-docs ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 "$(BIN)/mkdocs" build --strict --quiet $(ARGS)
	@echo "site/index.html"

clean: ## remove caches and build outputs (not .venv, not runs/)
	@rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests scripts benchmarks training -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
