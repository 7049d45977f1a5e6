"""A process that imports the packages once, and forks for every run of Snakemake and for every job.

Importing packages takes most of the time of a small job, and the tests run hundreds.  `tests/bin/python` asks
for a run: it sends its standard streams, and a line of JSON with the module, its arguments, the folder and
the environment.  The module then runs in a process of its own, as by ``python -m``.  Nothing of the project
is imported before the fork, so each run reads its own sources.  The answer is the exit status.

Usage: ``fork_server.py PATH`` with the path of the socket.  The server ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import warnings
from pathlib import Path
from typing import Any

PACKAGES = (
    "flax.core",
    "jax.numpy",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "netCDF4",
    "numba",
    "optax",
    "pydantic",
    "scipy.optimize",
    "scipy.stats",
    "seaborn",
    "snakemake.cli",
    "xarray",
)
"""Packages that the project imports.  The sources under test must not be imported here."""

INTERPRETER = Path(__file__).resolve().parent / "bin/python"
"""What stands before the real interpreter."""


def serve(path: str) -> dict[str, Any] | None:
    """Listen at a path, and fork for each request.

    Returns:
        in a child process its request; in the server None, once standard input has ended.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who mind the runs
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.new")
        listener.listen()
        os.rename(f"{path}.new", path)  # whoever finds the path can connect
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return None
            connection, _ = listener.accept()
            if os.fork() == 0:
                break
            connection.close()
    return mind(connection)


def mind(connection: socket.socket) -> dict[str, Any]:
    """Fork a run and answer with its exit status; if the client ends first, end the run.

    Returns:
        in the process of the run, the request.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile(encoding="utf-8") as lines:
        request: dict[str, Any] = json.loads(lines.readline())
    run = os.fork()
    if run == 0:
        connection.close()
        for here, there in zip(streams, range(3), strict=True):
            os.dup2(here, there)
            os.close(here)
        return request
    end = os.pidfd_open(run)
    either = select.poll()
    either.register(end, select.POLLIN)
    either.register(connection, 0)  # nothing but the client's end
    if end not in dict(either.poll()):
        os.kill(run, signal.SIGTERM)
    _, status = os.waitpid(run, 0)
    with contextlib.suppress(BrokenPipeError):  # the client has ended
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def become(request: dict[str, Any]) -> None:
    """Set folder, environment and arguments as for ``python -m``, and run the module."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:1] = [request["folder"], *request["environment"].get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv[1:] = request["arguments"]
    if request["module"] == "snakemake":  # it puts the folder of its own interpreter first in its jobs' path
        sys.executable = str(INTERPRETER)
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    # JAX warns that its threads and forks may conflict, but before the first computation it has no threads.
    warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)
    for package in PACKAGES:
        importlib.import_module(package)
    assert "dynamical_loss" not in sys.modules
    gc.freeze()  # a fork need not look at what was there before it
    asked = serve(sys.argv[1])
    if asked is not None:
        become(asked)
