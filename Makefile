# `make quickstart`: set up, run a small campaign, draw its figure.   `make test`: set up, run the tests.
# CPU-only PyTorch (a quarter of the disk, less than half the memory): `make quickstart TORCH=cpu`.
# The versions of requirements.lock instead of the newest: `make setup LOCKED=1`.
PYTHON ?= python3
TORCH  ?= default
VENV   := .venv
BIN    := $(VENV)/bin
LOWEST := .venv-lowest
CRATE  := .venv-crate
LOWEST_PYTHON ?= $(if $(shell python3.10 --version 2>/dev/null),python3.10,$(PYTHON))
CPU_INDEX := https://download.pytorch.org/whl/cpu

LOCK := $(if $(LOCKED),--constraint requirements.lock)
PIP = $(if $(shell command -v uv),VIRTUAL_ENV=$(VENV) uv pip,$(BIN)/python -m pip)

.PHONY: quickstart test test-docs test-lowest test-crash test-crate test-page test-slurm setup lint bench mutants clean

quickstart: setup
	$(BIN)/python -m hpc.submit --grid grids/quickstart.yaml --executor local --yes
	$(BIN)/python -m analysis.report --output-dir results/quickstart

test: lint
	$(BIN)/python -m pytest

test-docs: setup
	$(BIN)/python -m pytest tests/docs

# `make setup` takes the newest versions that the index offers, so `make test` tests those. This tests the lowest that
# pyproject.toml allows, in a place of its own (5 GB). For some tests only: make test-lowest TESTS='tests/jobs -m "not slow"'
test-lowest: $(LOWEST)/installed
	$(LOWEST)/bin/python -m pytest $(TESTS)

test-crash: setup
	@echo "This installs Debian's strace, as root, where it is missing, and crashes a new campaign at every point."
	command -v strace || { apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends strace; }
	$(BIN)/python -m pytest tests/crash --numprocesses=0

test-crate: setup $(CRATE)/installed
	$(BIN)/python -m pytest tests/crate --numprocesses=0

test-page: setup
	@echo "This installs Debian's chromium (and npm's axe-core, outside this folder), as root, where they are missing."
	command -v chromium || { apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends chromium; }
	$(BIN)/python -m pytest tests/page --numprocesses=0

test-slurm: setup
	@echo "This installs Debian's slurmctld slurmd slurm-client slurmdbd munge mariadb-server, as root,"
	@echo "and starts three Slurms of 4 nodes on this machine (tests/slurm/start); they are stopped at the end."
	$(BIN)/python -m pytest tests/slurm --numprocesses=3 --durations=15  # more than cores: they often wait for Slurm

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

mutants: setup
	@echo "This changes the modules that decide, a line at a time, and runs the quick tests on each: some two hours."
	OMP_NUM_THREADS=1 nice $(BIN)/mutmut run
	$(BIN)/mutmut results

bench: setup
	$(BIN)/python -m benchmarks.training

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; choose one with: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(filter cpu,$(TORCH)),$(PIP) install $(LOCK) torch torchvision --index-url $(CPU_INDEX))
	$(PIP) install --quiet $(LOCK) --editable '.[dev]'
	touch $@

# The validator of RO-Crates holds other packages at old versions, so it has a place of its own.
$(CRATE)/installed:
	$(PYTHON) -m venv $(CRATE)
	$(CRATE)/bin/python -m pip install --quiet rocrate 'roc-validator>=0.13'
	touch $@

$(LOWEST)/installed: pyproject.toml
	$(LOWEST_PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	VIRTUAL_ENV=$(LOWEST) $(LOWEST)/bin/uv pip install --quiet --resolution lowest-direct --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) $(CRATE) .pytest_cache .ruff_cache mutants *.egg-info
