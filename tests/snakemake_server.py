"""A process that imports Snakemake once and forks for every run, so that a dry run takes a third of the time.

Each request is one line of JSON on standard input, and the answer is the exit status of the run on standard
output.  Nothing of the project is imported before the fork, so each run sees its own sources.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any

# Packages that the project imports.  The sources under test must not be imported here.
import optax  # noqa: F401
import pydantic  # noqa: F401
import snakemake.cli
import xarray  # noqa: F401

# JAX warns that its threads and forks may conflict, but before the first computation it has no threads.
warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)


def asked() -> Mapping[str, Any] | None:
    """Wait for requests and fork for each.

    Returns:
        in a child process its request; in the server None, once standard input has ended.
    """
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            request: Mapping[str, Any] = json.loads(line)
            return request
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def become(request: Mapping[str, Any]) -> None:
    """Set folder, environment, streams and arguments as for ``python -m snakemake …``."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(here, there)
    sys.path[:1] = [request["folder"], *request["environment"]["PYTHONPATH"].split(os.pathsep)]
    sys.argv = [snakemake.cli.__file__, *request["arguments"]]


if __name__ == "__main__":
    request = asked()
    if request is not None:
        become(request)
        snakemake.cli.main(request["arguments"])
