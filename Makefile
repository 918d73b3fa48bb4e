# Every target makes what it needs first: `make demo` works in a fresh clone with Python 3.11+ and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
.DEFAULT_GOAL := help

.PHONY: help setup demo test chaos test-long e2e bench bench-large check format lock clean up down logs

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with everything in it

# The lock is complete, so pip has nothing to resolve: where it resolves, old versions of it trip over extras of locked
# packages ("coverage[toml]") as soon as a newer release of one is out.
$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; try make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV) (once)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: $(STAMP) ## run a whole week on this machine and show what happened
	@$(BIN)/retl demo $(ARGS)

# Two workers a core of a small machine: part of the time is waiting for other processes, and each worker spends five
# seconds on itself. A file stays on one worker, for what its tests share; files go out in the order of testpaths.
WORKERS ?= 4
# Bytecode is kept even where the environment says not to: half of the time goes into imports, each worker's and those
# of the processes that the tests start.
test: $(STAMP) ## unit, contract and integration tests; no Docker
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# Fewer workers: most of these keep eight to thirteen processes busy.
chaos: $(STAMP) ## the services killed, frozen and cut off at every point; no Docker
	@$(BIN)/python -m pytest tests/chaos -n 3 --dist loadfile $(ARGS)
	@$(BIN)/python -m pytest tests/integration -m chaos -n 3 --dist load $(ARGS)

test-long: $(STAMP) ## the tests that take minutes: a database away for half a minute in every stage, a minute in mid-week
	@$(BIN)/python -m pytest tests/chaos -m long -n 2 --dist load $(ARGS)

e2e: $(STAMP) ## the compose stack, tested; needs Docker, and says so where there is none
	@TESTCONTAINERS_RYUK_DISABLED=true $(BIN)/python -m pytest tests/e2e $(ARGS)

bench: $(STAMP) ## speed and memory of delivery, pipeline, gate and sync, against baselines in the same run
	@$(BIN)/python -m tests.bench.delivery
	@$(BIN)/python -m tests.bench.pipeline $(ARGS)
	@$(BIN)/python -m tests.bench.gate --events 1000000
	@$(BIN)/python -m tests.bench.sync --rows 1000000

bench-large: $(STAMP) ## the pipeline and the gate on a week of ten million events
	@$(BIN)/python -m tests.bench.pipeline --rounds 1 --large $(ARGS)
	@$(BIN)/python -m tests.bench.gate --events 10000000

up: ## build and start the compose stack
	@docker compose up --build --wait

down: ## stop the compose stack; its data stay
	@docker compose down

logs: ## follow the compose stack's logs
	@docker compose logs --follow

check: $(STAMP) ## what CI holds the code to: format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## rewrite the code in the house's format
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

lock: $(STAMP) ## resolve the dependencies again and write requirements/
	@PATH="$(abspath $(BIN)):$$PATH" sh requirements/lock.sh

clean: ## remove what make made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
