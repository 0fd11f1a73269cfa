# `make` sets up, runs the contest of params.yaml and prints the results. `make help` prints the targets with the
# comment beside each.
VENV := .venv
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: all help setup new check repro results cluster experiments compare tune predict bundle kaggle test fast faults audit \
	bench lint format lock schema
all: repro  # what `make` alone does: sets up, runs the graph, prints the scores
	@python -m tools.results

$(VENV)/installed: requirements.lock
	@test -n "$(PYTHON)" || { echo "podium needs Python 3.11, 3.12 or 3.13 on PATH (or: make PYTHON=/path/to/python)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --require-hashes --requirement requirements.lock
	@touch $@

help:  # prints this list
	@awk -F ':.*  # ' '/^[a-z]+:.*  # / { printf "%-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/installed  # makes .venv with the locked packages

new: setup  # make new FOLDER=<folder> [YES=1] [RECIPE=<recipe>]: looks at a contest's files and writes params.yaml
	@python -m tools.new "$(FOLDER)" $(if $(YES),--yes) $(if $(RECIPE),--recipe "$(RECIPE)")

check: setup  # trains nothing; names each mistake in params.yaml and your tables, and the time of a run
	@python -m stages.check
	@python -m tools.run plan

# `check settings` first, because DVC's own messages for some mistakes in params.yaml are unhelpful.
repro: setup  # runs the graph; JOBS=4 runs four trainings at once, JOBS_PER_GPU=2 lets two share a GPU (docs/compare.md)
	@python -m stages.check settings
	@python -m tools.run run "$(JOBS)" "$(JOBS_PER_GPU)"

results: setup  # prints the scores of the last run
	@python -m tools.results

experiments: setup  # all runs of `dvc exp run` in one table, the best first
	@python -m tools.experiments

compare: setup  # make compare A=<experiment> [B=<experiment>]: B's gain over A; also git revisions and `workspace`, B's default
	@python -m tools.compare "$(A)" "$(or $(B),workspace)"

# Also CPUS=2, MEMORY=16, RETRIES=3, RUNTIME_ENV=env.yaml.
cluster: setup  # make cluster [DRY=1] [GPUS=1] [ADDRESS=host:port]: trains on a Ray cluster; DRY=1 prints the plan (docs/cluster.md)
	@python -m stages.check settings
	@python -m tools.cluster $(if $(DRY),--dry) --gpus "$(GPUS)" --cpus "$(CPUS)" --memory "$(MEMORY)" \
		--retries "$(RETRIES)" --address "$(ADDRESS)" --runtime-env "$(RUNTIME_ENV)"

predict: setup  # make predict IMAGES=<folder or file> [OUT=predictions.csv] [CASES=<CSV>]: predicts new images by the blend
	@python -m tools.predict "$(IMAGES)" "$(or $(OUT),predictions.csv)" "$(CASES)"

bundle: setup  # make bundle [SELECT=all|best|distilled|<member>] [OUT=bundle]: a folder and a zip that predict without this project
	@python -m tools.bundle "$(or $(SELECT),all)" "$(or $(OUT),bundle)"

kaggle: setup  # make kaggle [BUNDLE=bundle] [OUT=kaggle] [PREFIX=podium]: data sets for a notebook without internet
	@python -m tools.kaggle "$(or $(OUT),kaggle)" "$(or $(PREFIX),podium)" "$(or $(BUNDLE),bundle)"

tune: setup  # make tune BUDGET=<hours> [MEMBER=<name>] [APPLY=1]: tries recipes; APPLY writes the best into params.yaml
	@python -m stages.check settings
	@python -m tools.tune "$(BUDGET)" $(if $(MEMBER),--member "$(MEMBER)") $(if $(APPLY),--apply)

# Two test files at a time, one thread each: idle OpenMP threads spin and would slow down the other process.
# Bytecode is written, or every process that a test starts compiles the code again.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: setup lint  # linters, type checker and all tests
	$(PYTEST)

fast: setup  # the tests that train no network and run few DVC stages
	$(PYTEST) -m "not slow"

faults: setup  # make faults KILLS=200: kills `dvc repro` at random moments, and more; an hour or more
	OMP_NUM_THREADS=1 python -m docs.measure.faults --kills "$(or $(KILLS),200)"

audit: setup  # known vulnerabilities of the locked packages; make audit UNAUDITED=allow passes those without an answer
	-@test -x .audit/bin/pip-audit || { python -m venv .audit && .audit/bin/python -m pip install --quiet pip-audit==2.10.1; }
	@python -m tools.advisories .audit/bin/pip-audit $(UNAUDITED)

bench: setup  # make bench [SCRIPT=train.py, of timm's repository] [DEVICE=cuda]: speed of a training and of its parts
	@python -m docs.measure.bench $(if $(SCRIPT),--script "$(SCRIPT)") $(if $(DEVICE),--device "$(DEVICE)")

lint: setup  # linters and type checker
	ruff check .
	ruff format --check .
	mypy

format: setup  # lets ruff correct and format the code
	ruff check --fix .
	ruff format .

schema: setup  # writes params.schema.json anew after a change of podium/*/settings.py
	@python -m tools.params_schema

lock:  # needs uv; takes the newest releases that are compatible with this torch
	echo "torch==2.14.1" | uv pip compile pyproject.toml --extra dev --extra onnx --extra dicom --generate-hashes \
		--universal --python-version 3.11 --constraint - --no-emit-index-url --custom-compile-command "make lock" \
		--output-file requirements.lock
