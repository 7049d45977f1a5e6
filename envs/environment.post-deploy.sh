#!/bin/sh
# Runs in the new environment, in the folder where Snakemake was started.  Snakemake hides PYTHONPATH
# from such environments, hence the second line.
set -eu
python -m pip install --no-deps --require-hashes -r "envs/${ACCELERATOR:-cpu}.txt"
python -m pip install --no-deps --no-build-isolation -e .
