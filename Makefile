# Two commands for a newcomer: `make demo` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test test-all check bench bench-training clean

demo: .venv/installed
	$(BIN)/albert demo

test: .venv/installed-dev
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile --no-loadscope-reorder

test-all: .venv/installed-dev
	$(BIN)/python -m pytest

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_floors.py

bench: .venv/installed-peers
	$(BIN)/python benchmarks/inference.py --short

bench-training: .venv/installed-dev
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/pretraining.py

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A clone may sit anywhere and be installed again after a change of pyproject.toml.
.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@ .venv/installed

.venv/installed-peers: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable ".[peers]"
	touch $@ .venv/installed
