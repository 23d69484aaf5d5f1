# `make demo` and `make test` do all their own set-up in .venv. Another Python: make PYTHON=python3.12 demo
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-fast lint docs container bench benchmarks clean

demo: .venv/.demo
	$(BIN)/protbert-classify demo --output_dir runs/demo --overwrite

test: test-fast
	$(BIN)/python -m pytest -m slow --numprocesses auto --maxprocesses 2 --dist loadfile --durations 5

test-fast: .venv/.dev
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 8 --dist loadfile --cov --cov-report= --durations 5
	$(BIN)/python -m coverage report

lint: .venv/.dev
	$(BIN)/python -m ruff check --quiet
	$(BIN)/python -m ruff format --check --quiet
	$(BIN)/python -m mypy

# the site, in build/site
docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# the hooks under the very versions of SageMaker's inference container, torch among them, which brings CUDA: 6 GB
container: .venv/.dev .venv-container/.done
	CONTAINER_PYTHON=.venv-container/bin/python $(BIN)/python -m pytest -m slow tests/serving/test_container_versions.py

# the tables of speed on a CPU; about 50 minutes
bench: .venv/.dev
	$(BIN)/python -m benchmarks.cpu
	$(BIN)/python -m benchmarks.profile_cpu
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.frozen
	$(BIN)/python -m benchmarks.tuning
	$(BIN)/python -m benchmarks.precision
	$(BIN)/python -m benchmarks.proteome
	$(BIN)/python -m benchmarks.serving

benchmarks: bench demo
	$(BIN)/python -m benchmarks.encoding
	$(BIN)/python -m benchmarks.splits
	$(BIN)/python -m benchmarks.homologues
	$(BIN)/python -m benchmarks.results
	$(BIN)/python -m benchmarks.layers
	$(BIN)/python -m benchmarks.rare_classes
	$(BIN)/python -m benchmarks.encoders
	$(BIN)/python -m benchmarks.regularisation
	$(BIN)/python -m benchmarks.calibration
	$(BIN)/python -m benchmarks.sets
	$(BIN)/python -m benchmarks.unlike --run runs/demo --publish

.venv/.base: setup.cfg constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) --editable .
	touch $@

.venv-container/.done: setup.cfg
	$(PYTHON) -m venv .venv-container
	.venv-container/bin/python -m pip install --quiet --editable . torch==2.6.0 transformers==5.5.3
	touch $@

.venv/.demo: .venv/.base
	$(PIP) --editable '.[demo]'
	touch $@

.venv/.docs: .venv/.base
	$(PIP) --editable '.[docs]'
	touch $@

.venv/.dev: .venv/.base
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps sagemaker-huggingface-inference-toolkit
	touch $@

clean:
	rm -rf .venv .venv-container .cache build dist runs *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache
