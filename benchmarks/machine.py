"""Description of the machine and its software, and the format of a measurement in the JSON file."""

from __future__ import annotations

import datetime
import os
import platform
import re
import resource
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynamical_loss import processor
from dynamical_loss.results.record import git_state, package_versions

Measurement = dict[str, Any]
"""A measured number: section, quantity, further keys, unit, median, minimum, maximum and repetitions."""

SPREAD = {"median", "minimum", "maximum", "repetitions"}


def cores() -> int:
    """Return the number of logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def caches() -> dict[str, str]:
    """Return the cache sizes of the first core, e.g. ``{"L2": "1024K"}``; empty if they cannot be read."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                (index / name).read_text(encoding="utf-8").strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        letter = {"Data": "d", "Instruction": "i"}.get(kind, "")
        found[f"L{level}{letter}"] = size
    return found


def second_level_cache() -> int:
    """Return the size of the second-level cache in bytes, or 1 MiB if it cannot be read."""
    match = re.fullmatch(r"(\d+)([KM])", caches().get("L2", ""))
    return int(match[1]) * {"K": 1024, "M": 1024**2}[match[2]] if match else 1024**2


def vector_bits() -> int:
    """Return the width of the vectors that the fused engine compiles for."""
    # Imported here, because numba would count in the memory of every process that is measured.
    from dynamical_loss.training import fused_vectors

    return 8 * fused_vectors.BYTES


def architecture() -> str:
    """Return LLVM's name of the processor's design, for which the fused engine compiles, e.g. ``znver4``."""
    from llvmlite import binding  # imported here for the same reason as above

    name: str = binding.get_host_cpu_name()
    return name


def label() -> str:
    """Return processor, its design, width of its vectors and number of cores as a file name.

    Rented machines say no more than ``AMD EPYC``, and processors of that name differ by a factor of 5 in the
    time of a step.  An example is ``amd-epyc-znver4-512-bit-2-cores``.
    """
    name = re.sub(r"\((r|tm)\)", "", processor.name().lower())
    name = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\bcpu\b|@.*", "", name)).strip("-")
    return f"{name}-{architecture()}-{vector_bits()}-bit-{cores()}-core{'s' if cores() > 1 else ''}"


def description() -> dict[str, Any]:
    """Describe machine, software, commit and date."""
    commit, state = git_state()
    return {
        "machine": {
            "label": label(),
            "processor": processor.name(),
            "architecture": architecture(),
            "cores": cores(),
            "vector_bits": vector_bits(),
            "caches": caches(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "software": {"python": platform.python_version(), "packages": package_versions()},
        "git_commit": commit,
        "git_state": state,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def peak_memory() -> float:
    """Return the largest resident memory of this process so far, MB."""
    status = Path("/proc/self/status")
    # Linux keeps ru_maxrss across exec: a child process would report the memory of its parent.
    found = (
        re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(encoding="utf-8"), re.MULTILINE)
        if status.exists()
        else None
    )
    if found:
        return int(found[1]) * 1024 / 1e6
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size * (1 if sys.platform == "darwin" else 1024) / 1e6


def measurement(
    section: str, quantity: str, unit: str, values: Sequence[float] | float | None, **keys: Any
) -> Measurement:
    """Return a measured number with its spread over repetitions, or a null entry if nothing was measured.

    Args:
        section: part of the benchmark, e.g. ``step``.
        quantity: name of the measured quantity.
        unit: unit of the values.
        values: one number per repetition, or a single number; None: nothing was measured.
        keys: keys that distinguish this number from others of its section; ``note`` says why a number is
            missing.
    """
    entry: Measurement = {"section": section, "quantity": quantity, "unit": unit, **keys}
    if values is None:
        return entry | {"median": None, "minimum": None, "maximum": None, "repetitions": 0}
    several = [float(value) for value in (values if isinstance(values, Sequence) else [values])]
    return entry | {
        "median": statistics.median(several),
        "minimum": min(several),
        "maximum": max(several),
        "repetitions": len(several),
    }
