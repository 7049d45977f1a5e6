#!/bin/sh
# Pin every package with its hashes, for Python 3.11 and newer.  No index address is written.
set -eu
compile() {
    uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
        --no-emit-index-url --no-annotate --no-header "$@"
}
compile ../pyproject.toml requirements.in --extra pipeline --override overrides.txt -o cpu.txt
compile ../pyproject.toml requirements.in --extra pipeline --extra cuda --override overrides.txt -c cpu.txt -o cuda.txt
compile ../pyproject.toml dev.in --extra test --extra docs --override overrides.txt -c cpu.txt -o dev.txt
