"""A function of one of these modules in a fresh process of its own.

    python benchmarks/worker.py MODULE.FUNCTION '{"argument": 1}'

It prints the result as JSON.  :func:`call` does the same from Python, :func:`call_all` side by side.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# One thread for XLA and BLAS, as in every job of the pipeline; no GPU and no program compiled before,
# except where they are asked for.
ENVIRONMENT = {
    "PJRT_NPROC": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
}


def command(function: str, arguments: Mapping[str, Any]) -> list[str]:
    """The command line that calls ``module.function``."""
    return [sys.executable, str(Path(__file__).resolve()), function, json.dumps(arguments)]


def environment(**changes: str | None) -> dict[str, str]:
    """The environment of one-thread processes; None removes a name."""
    merged = {**os.environ, **ENVIRONMENT, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def call(
    function: str, *, cold: bool = False, changes: Mapping[str, str | None] | None = None, **arguments: Any
) -> Any:
    """The result of ``module.function(**arguments)`` in a fresh process.

    Args:
        function: e.g. ``growth.memory``.
        cold: whether the process finds no compiled loop on disk, instead of what this one has kept.
        changes: of the environment; None removes a name.
        arguments: what JSON can carry.

    Raises:
        RuntimeError: with what the process wrote, if it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        cache = {"NUMBA_CACHE_DIR": folder} if cold else {}
        done = subprocess.run(
            command(function, arguments),
            env=environment(**cache, **(changes or {})),
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(f"{function} with {arguments} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def call_all(function: str, arguments: Sequence[Mapping[str, Any]], processes: int) -> list[Any]:
    """Several calls, so many at a time.  For what neighbours disturb little, such as memory."""
    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(lambda keywords: call(function, **keywords), arguments))


if __name__ == "__main__":
    module_name, _, function_name = sys.argv[1].rpartition(".")
    result = getattr(importlib.import_module(module_name), function_name)(**json.loads(sys.argv[2]))
    print(json.dumps(result))
