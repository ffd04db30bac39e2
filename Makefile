PYTHON ?= python

.PHONY: check test proto docs bench run

run:
	$(PYTHON) -m server --port 50051

check:
	ruff check .
	ruff format --check .
	mypy

test:
	$(PYTHON) -m pytest -n 2 --dist loadfile

proto:
	$(PYTHON) proto/generate.py

docs:
	$(PYTHON) -m server.reference README.md

bench:
	$(PYTHON) -m benchmarks
