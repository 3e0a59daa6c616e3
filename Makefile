# Five verbs: setup, check, test, demo, bench. Everything lives in .venv/.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: setup check test test-all faults demo bench docs clean

setup: $(READY)

# torch first and pinned: on Linux PyPI's default is a CUDA build of several gigabytes, which
# `make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu` avoids.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[dev]'
	touch $@

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m cxnlp.schema | diff - docs/tables.md
	$(BIN)/cxnlp taxonomy check configs/taxonomy.yaml

test: setup
	$(BIN)/python -m pytest -m "not slow"

# Ray (80 MB to fetch, 240 MB installed) is wanted by its own tests alone.
test-all: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	$(BIN)/python -m pytest

faults: setup  # some hours; goes on where it was stopped
	mkdir -p build
	cd tests && ../$(BIN)/python -m faults ../build/faults.jsonl

demo: setup
	$(BIN)/cxnlp run configs/demo.yaml

bench: setup
	$(BIN)/python benchmarks/bench_cpu.py

docs: setup
	$(BIN)/python -m cxnlp.schema > docs/tables.md

clean:
	rm -rf .venv output build *.egg-info
