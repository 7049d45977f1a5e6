# make figures · make verify · make check · make test · make test-long · make coverage · make test-slurm · make lint · make docs · make bench · make report · make explorer
# PYTHON is the interpreter that creates the environment (3.11 or newer).  ACCELERATOR=cuda installs the
# packages for a GPU.
PYTHON ?= python3
CORES ?= 2
ACCELERATOR ?= cpu
VENV := .venv
BIN := $(VENV)/bin
LOCK := envs/$(ACCELERATOR).txt
export PATH := $(CURDIR)/$(BIN):$(PATH)
# In a terminal one line shows the state of the whole study; in a log Snakemake's own lines appear.
SNAKEMAKE := snakemake --logger dynamical-loss --cores $(CORES)
# Two workers for two cores; a worker that has finished takes tests from the other one.
PYTEST := pytest --numprocesses 2 --dist worksteal

.PHONY: figures verify check test test-long coverage test-slurm lint style schemas docs bench report explorer config lock clean

figures: $(VENV)/.runtime
	$(SNAKEMAKE)

# Compare every result with its checksums, its inputs and the present code.
verify: $(VENV)/.runtime
	python -m dynamical_loss verify

# Check style and types, and run the unit tests; this needs neither root nor Snakemake.
check: style
	$(PYTEST) tests/unit

# Run all tests except the long ones and those on a cluster.
test: $(VENV)/.tools
	$(PYTEST)

# Run the long tests: the whole benchmark at toy size, examples of other frameworks, further cases of others.
test-long: $(VENV)/.tools
	$(PYTEST) -m long

# Measure which lines the tests reach; this takes half as long again as the tests alone.
coverage: $(VENV)/.tools
	$(PYTEST) -m "long or not long" --cov=dynamical_loss --cov-report=term --cov-fail-under=90

# Run the tests on a SLURM cluster.  The script installs (on Debian), starts and stops a cluster of one node;
# this needs root.
test-slurm: $(VENV)/.tools
	python tests/cluster/slurm.py
	pytest tests/cluster

lint: style schemas
	snakemake --lint

style: $(VENV)/.tools
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	codespell
	mypy

# The citation file and the workflow of GitHub Actions against their public schemas.
schemas: $(VENV)/.tools
	check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	pre-commit validate-config

# The documentation's site, docs/_build/index.html.  Warnings are errors.
docs: $(VENV)/.tools
	rm -rf docs/_build docs/api
	sphinx-build --fail-on-warning --quiet --jobs $(CORES) -b html docs docs/_build
	@echo "open docs/_build/index.html"

bench: $(VENV)/.runtime
	python benchmarks/run.py

# The report with all figures, claims and runs: report.zip.  Unpack it and open report.html in the folder.
report: $(VENV)/.runtime
	$(SNAKEMAKE)
	$(SNAKEMAKE) pages
	snakemake --report report.zip pages

# Pages to explore what has been computed: phase diagrams, runs and thresholds.
explorer: $(VENV)/.runtime
	$(SNAKEMAKE) explorer
	@echo "open the index.html in a folder of explorer/"

# Regenerate the comments of config.yaml and the JSON schema from the typed model.
config: $(VENV)/.runtime
	python -m dynamical_loss document-config config.yaml

# Look up new versions of packages and pin them; no other target does.
lock: $(VENV)/.tools
	cd envs && ./lock.sh

# Python finds the package by a path relative to the environment.  pip would write the absolute path in the
# locale's encoding, and Python would not start if the path cannot be encoded.
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
	rm -rf $(VENV) results logs explorer report .snakemake
