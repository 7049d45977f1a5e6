# make figures · make verify · make check · make test · make test-slurm · make lint · make bench · make report
# PYTHON: the interpreter that makes the environment (3.11 or newer).  ACCELERATOR=cuda: a GPU's packages.
PYTHON ?= python3
CORES ?= 2
ACCELERATOR ?= cpu
VENV := .venv
BIN := $(VENV)/bin
LOCK := envs/$(ACCELERATOR).txt
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Two workers for two cores; a worker that has nothing left to do takes tests from the other.
PYTEST := pytest --numprocesses 2 --dist worksteal

.PHONY: figures verify check test test-slurm lint bench report config lock clean

figures: $(VENV)/.runtime
	snakemake --cores $(CORES)

# Every result against its checksums, its inputs and the present code.
verify: $(VENV)/.runtime
	python -m dynamical_loss verify

# Style, types and unit tests: no root, no Snakemake.
check: $(VENV)/.tools
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy
	$(PYTEST) tests/unit

# Everything but the cluster.
test: $(VENV)/.tools
	$(PYTEST) --cov=dynamical_loss --cov-report=term --cov-fail-under=90

# On a SLURM cluster of one node, which it installs (Debian), starts and stops; needs root.
test-slurm: $(VENV)/.tools
	python tests/cluster/slurm.py
	pytest tests/cluster

lint: $(VENV)/.tools
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint

bench: $(VENV)/.runtime
	python benchmarks/run.py

report: $(VENV)/.runtime
	snakemake --cores $(CORES)
	snakemake --report report.html

# Comments of config.yaml and the JSON schema, from the typed model.
config: $(VENV)/.runtime
	python -m dynamical_loss document-config config.yaml

# The one target that looks up new package versions.
lock: $(VENV)/.tools
	cd envs && ./lock.sh

# The package is found by a path relative to the environment: pip would write the whole path in the locale's
# encoding, and where it cannot be written so, Python would not start.
define LINK
import os, pathlib, sysconfig
packages = pathlib.Path(sysconfig.get_path("purelib"))
(packages / "dynamical_loss.pth").write_text(os.path.relpath("src", packages) + "\n", encoding="ascii")
endef
export LINK

$(VENV)/.runtime: $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(LOCK)
	$(BIN)/python -c "$$LINK"
	touch $@

$(VENV)/.tools: $(VENV)/.runtime envs/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r envs/dev.txt
	touch $@

clean:
	rm -rf $(VENV) results logs .snakemake
