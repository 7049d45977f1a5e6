"""What a process sets before JAX is imported; numbers depend on it."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import platformdirs


def prepare() -> None:
    """Set what JAX reads when it is imported; values that the user has set stay."""
    # One thread a job, for equal numbers on every machine and no oversubscription.
    os.environ.setdefault("PJRT_NPROC", "1")
    # Jobs by the hundred compile the same few programs.  They are machine code, and a home folder may be
    # shared between machines: each kind of processor has its own.
    processor = hashlib.sha256(_processor().encode()).hexdigest()[:12]
    folder = platformdirs.user_cache_path("dynamical-loss") / f"jax-{processor}"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    # Small ones too: together they take a tenth of a job's start.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def _processor() -> str:
    """Model and instruction set of this machine's processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.platform() + platform.processor()
    told = {line.partition(":")[0].strip(): line for line in lines}
    return "".join(told.get(name, "") for name in ("model name", "flags", "CPU part", "Features"))
