"""What a process sets before JAX is imported; numbers depend on it."""

from __future__ import annotations

import atexit
import os

from dynamical_loss import program_cache


def prepare() -> None:
    """Set what JAX reads when it is imported; values that the user has set stay."""
    # One thread a job, for equal numbers on every machine and no oversubscription.
    os.environ.setdefault("PJRT_NPROC", "1")
    # Small programs too: together they take a tenth of a job's start.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    # Jobs by the hundred compile the same few programs.
    programs = program_cache.folder("jax")
    if program_cache.check(programs):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(programs)
        atexit.register(program_cache.seal, programs)
