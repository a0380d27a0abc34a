PYTHON ?= python3
VENV ?= .venv
JOBS ?= 7
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help setup demo test proof search check fmt e2e db db-stop migrate install-systemd bench chaos audit ci lock clean

help: ## list these targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

# Two stamps in one environment: `make demo` needs only what users run, developers add the tools.
$(VENV)/.runtime: requirements-demo.txt requirements-build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "blogworker needs Python 3.11 to 3.13; try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@echo "creating $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV) || { echo "python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@$(PIP) install --require-hashes -r requirements-demo.txt -r requirements-build.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

setup: $(VENV)/.dev ## create .venv with the locked dependencies and the developers' tools

demo: $(VENV)/.runtime ## everything on this machine: Postgres, the simulator, two workers, 120 posts, a gallery
	@$(BIN)/blogworker demo $(ARGS)

# Compiled tests are kept even where the environment forbids it: each pytest worker reads every file.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder

test: $(VENV)/.dev ## the tests, on a real Postgres that they start themselves
	@$(PYTEST) $(ARGS)

proof: $(VENV)/.dev ## the tests that take long
	@$(PYTEST) -m proof $(ARGS)

search: $(VENV)/.dev ## the tests that look for faults in random examples, with several times as many examples
	@$(PYTEST) -m search --hypothesis-profile search $(ARGS)

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

db: $(VENV)/.runtime ## start a private Postgres in .pg and print its DATABASE_URL (make db-stop stops it)
	@$(BIN)/python -m blogworker.db.embedded .pg

db-stop: $(VENV)/.runtime ## stop the Postgres of make db
	@$(BIN)/python -m blogworker.db.embedded .pg --stop

migrate: $(VENV)/.runtime ## bring the database named by DATABASE_URL up to date
	@$(BIN)/blogworker migrate

install-systemd: $(VENV)/.runtime ## write the systemd units below DESTDIR, for a package or an image (PROGRAM: what they run)
	@$(BIN)/blogworker systemd install --root "$(or $(DESTDIR),/)" --program "$(or $(PROGRAM),/opt/blogworker/bin/blogworker)" $(ARGS)

bench: $(VENV)/.runtime ## measure claim, fairness, throughput, settle and enqueue on this machine
	@$(BIN)/blogworker bench claim
	@$(BIN)/blogworker bench fairness
	@$(BIN)/blogworker bench queue
	@$(BIN)/blogworker bench settle
	@$(BIN)/blogworker bench enqueue

chaos: $(VENV)/.runtime ## inject faults into real processes, then audit every promise: some minutes
	@$(BIN)/blogworker bench chaos $(ARGS)
	@$(BIN)/blogworker bench storm
	@$(BIN)/blogworker bench recovery
	@$(BIN)/blogworker bench failover

$(VENV)/.audit: requirements-audit.txt
	@$(PYTHON) -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-audit.txt
	@touch $@

audit: $(VENV)/.audit ## look for known vulnerabilities in the locked packages
	@.ci/audit $(VENV)/audit/bin/pip-audit

ci: check test ## what CI runs

# The core is resolved first; the others add to it with the same versions.
COMPILE := uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade

lock: ## upgrade all dependencies and write the lock files: core, build, api, otel, demo, dev, audit (needs uv)
	@$(COMPILE) pyproject.toml --output-file requirements.txt
	@$(COMPILE) --group build --output-file requirements-build.txt
	@$(COMPILE) pyproject.toml --extra api --constraints requirements.txt --output-file requirements-api.txt
	@$(COMPILE) pyproject.toml --extra demo --constraints requirements-api.txt --output-file requirements-demo.txt
	@$(COMPILE) pyproject.toml --extra otel --constraints requirements.txt --output-file requirements-otel.txt
	@$(COMPILE) pyproject.toml --extra demo --extra otel --group dev --constraints requirements-demo.txt \
	  --constraints requirements-build.txt --constraints requirements-otel.txt --output-file requirements-dev.txt
	@$(COMPILE) --group audit --output-file requirements-audit.txt

clean: ## remove the environment and what tools left behind
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist build
