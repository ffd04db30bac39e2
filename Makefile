PYTHON ?= python

.PHONY: check test proto bench run

run:
	$(PYTHON) -m server --port 50051

check:
	ruff check .
	ruff format --check .
	mypy

test:
	$(PYTHON) -m pytest

proto:
	$(PYTHON) proto/generate.py

bench:
	$(PYTHON) -m benchmarks ceiling
