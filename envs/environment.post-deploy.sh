#!/bin/sh
# Runs in the new environment, from the folder where Snakemake was started.
set -eu
python -m pip install --no-deps --require-hashes -r "envs/${ACCELERATOR:-cpu}.txt"
