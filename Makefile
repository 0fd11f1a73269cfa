# `make`: set up, run the contest of params.yaml, print what came out. `make test`: set up, run all tests.
VENV := .venv
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: all setup check repro results experiments compare test fast lint format lock
all: repro
	@python -m tools.results

$(VENV)/installed: requirements.lock
	@test -n "$(PYTHON)" || { echo "podium needs Python 3.11, 3.12 or 3.13 on PATH (or: make PYTHON=/path/to/python)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --require-hashes --requirement requirements.lock
	@touch $@

setup: $(VENV)/installed

check: setup
	@python -m stages.check

repro: setup  # DVC refuses some mistakes in params.yaml in words that help nobody: these words help
	@python -m stages.check settings
	dvc repro

results: setup
	@python -m tools.results

experiments: setup
	@python -m tools.experiments

compare: setup  # make compare A=<experiment> B=<experiment>; git revisions and `workspace` too
	@python -m tools.compare "$(A)" "$(or $(B),workspace)"

# Two files of tests at a time, one thread each: threads that wait by spinning would starve the other process.
PYTEST := OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: setup lint
	$(PYTEST)

fast: setup
	$(PYTEST) -m "not slow"

lint: setup
	ruff check .
	ruff format --check .
	mypy

format: setup
	ruff check --fix .
	ruff format .

lock:  # needs uv; the newest releases that torch's pin in LOCK_WITH goes with
	echo "torch==2.14.1" | uv pip compile pyproject.toml --extra dev --generate-hashes --universal \
		--python-version 3.11 --constraint - --no-emit-index-url --custom-compile-command "make lock" \
		--output-file requirements.lock
