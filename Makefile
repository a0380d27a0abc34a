PYTHON ?= python3
VENV ?= .venv
JOBS ?= 3
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt e2e db migrate bench chaos ci lock clean

help: ## list these targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

# Two stamps in one environment: `make demo` needs only what users run, developers add the tools.
$(VENV)/.runtime: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "blogworker needs Python 3.11 to 3.13; try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@echo "creating $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV) || { echo "python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

setup: $(VENV)/.dev ## create .venv with the locked dependencies and the developers' tools

demo: $(VENV)/.runtime ## everything on this machine: Postgres, vendors' simulator, two workers, 120 posts, a gallery
	@$(BIN)/blogworker demo $(ARGS)

test: $(VENV)/.dev ## the tests, on a real Postgres that they start themselves
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

e2e: $(VENV)/.dev ## only the tests that start real processes
	@$(BIN)/python -m pytest tests/e2e $(ARGS)

check: $(VENV)/.dev ## formatting, lint, types, floors
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(VENV)/.dev ## format and repair what ruff can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

db: $(VENV)/.runtime ## start a private Postgres in .pg and print its DATABASE_URL
	@$(BIN)/python -m blogworker.db.embedded .pg

migrate: $(VENV)/.runtime ## bring the database named by DATABASE_URL up to date
	@$(BIN)/blogworker migrate

bench: $(VENV)/.runtime ## measure claim, fairness, throughput, settle and enqueue on this machine
	@$(BIN)/blogworker bench claim
	@$(BIN)/blogworker bench fairness
	@$(BIN)/blogworker bench queue
	@$(BIN)/blogworker bench settle
	@$(BIN)/blogworker bench enqueue

chaos: $(VENV)/.runtime ## a storm of faults over real processes, then an audit of every promise: some minutes
	@$(BIN)/blogworker bench chaos $(ARGS)
	@$(BIN)/blogworker bench storm
	@$(BIN)/blogworker bench recovery

ci: check test ## what CI runs

lock: ## resolve the dependencies anew and write both locks (needs uv)
	@uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --upgrade \
	  --extra api --extra demo pyproject.toml --output-file requirements.txt
	@uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --extra api --extra demo --group dev --constraints requirements.txt pyproject.toml --output-file requirements-dev.txt

clean: ## remove the environment and what tools left behind
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist build
