"""Call a function of one of these modules in a fresh process.

    python benchmarks/worker.py MODULE.FUNCTION '{"argument": 1}'

The process prints the result as JSON.  :func:`call` starts such a process from Python, and :func:`call_all`
starts several in parallel.
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

from dynamical_loss.environment import PINNED, XLA_FLAG

# Threads and flags are those of every job of the pipeline.  GPUs and kept compiled programs are off unless a
# call changes these variables.
ENVIRONMENT = {
    **PINNED,
    "XLA_FLAGS": XLA_FLAG,
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
}


def command(function: str, arguments: Mapping[str, Any]) -> list[str]:
    """Return the command line that calls ``module.function``."""
    return [sys.executable, str(Path(__file__).resolve()), function, json.dumps(arguments)]


def environment(**changes: str | None) -> dict[str, str]:
    """Return the environment of one-thread processes with changes; None removes a variable."""
    merged = {**os.environ, **ENVIRONMENT, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def call(
    function: str, *, cold: bool = False, changes: Mapping[str, str | None] | None = None, **arguments: Any
) -> Any:
    """Return the result of ``module.function(**arguments)`` in a fresh process.

    Args:
        function: name of module and function, e.g. ``growth.memory``.
        cold: whether the process gets an empty folder for compiled loops, instead of this process's folder.
        changes: environment variables to set; None removes a variable.
        arguments: arguments of the function, which JSON can represent.

    Raises:
        RuntimeError: if the process failed; the message contains its error output.
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
    """Do several calls, `processes` of them in parallel.

    This suits quantities that other processes disturb little, such as memory.
    """
    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(lambda keywords: call(function, **keywords), arguments))


if __name__ == "__main__":
    module_name, _, function_name = sys.argv[1].rpartition(".")
    result = getattr(importlib.import_module(module_name), function_name)(**json.loads(sys.argv[2]))
    print(json.dumps(result))
