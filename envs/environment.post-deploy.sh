#!/bin/sh
# Snakemake runs this script in the new environment, in the folder where Snakemake was started.  The second
# pip command installs the package itself, because Snakemake hides PYTHONPATH from such environments.
set -eu
python -m pip install --no-deps --require-hashes -r "envs/${ACCELERATOR:-cpu}.txt"
python -m pip install --no-deps --no-build-isolation -e .
