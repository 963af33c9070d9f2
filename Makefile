# Everything runs in .venv, which is made from the first Python 3.11 or newer that is found.
#
#   make run     the flights demo, with its live table
#   make test    all tests but the slow ones, with coverage
#   make lint    ruff, mypy, import contracts
#   make docs    the documentation, into docs/_build
#   make bench   a quick round of the benchmarks
#   make count   compares the instructions per item with those recorded
#   make clean   remove everything that was made

VENV ?= .venv
PYTHON ?= python3 python3.11 python3.12 python3.13 python3.14
COVERAGE ?= 95

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test lint docs bench count clean
.DELETE_ON_ERROR:

run: $(VENV)/installed-demos
	$(BIN)/python -m demos.flights

test: $(VENV)/installed-dev $(VENV)/redis-server
	$(BIN)/python -m pytest -m "not slow" --cov --cov-fail-under=$(COVERAGE)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy pipelines tests $(wildcard demos benchmarks)
	$(BIN)/lint-imports --no-logo --no-cache

docs: $(VENV)/installed-dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build

bench: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks --quick

count: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.instructions --check --counter opcodes
	$(BIN)/python -m benchmarks.instructions --check

clean:
	rm -rf $(VENV) build dist docs/_build htmlcov results .coverage .coverage.* *.egg-info
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find pipelines tests demos benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The installed-* files tell make what is in the environment already; only a change of pyproject.toml installs again.
$(VENV)/installed-demos: pyproject.toml | $(VENV)/made
	@echo "Installing the library and what its demos need into $(VENV) (once; this can take a minute) ..."
	$(PIP) --editable '.[demos]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/made
	@echo "Installing the library, its demos and the development tools into $(VENV) (once; this can take some minutes) ..."
	$(PIP) --editable '.[dev,demos]'
	@touch $@ $(VENV)/installed-demos

$(VENV)/installed-bench: pyproject.toml | $(VENV)/made
	$(PIP) --editable '.[bench]'
	@touch $@

# The tests start servers of their own; only the program must be there.
$(VENV)/redis-server: | $(VENV)/made
	@if command -v redis-server >/dev/null; then :; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "Installing redis-server, which the tests start ..."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null; \
	else echo "The tests need the program redis-server; install it, for example with: sudo apt-get install redis-server" >&2; exit 1; fi
	@touch $@

$(VENV)/made:
	@for python in $(PYTHON); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$("$$python" --version) ..."; \
			rm -rf $(VENV) && "$$python" -m venv $(VENV) && touch $@; exit; \
		fi; \
	done; \
	echo "No Python 3.11 or newer was found; tried: $(PYTHON). Name one: make PYTHON=/path/to/python" >&2; exit 1
