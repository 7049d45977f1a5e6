"""What the system tells about the processor of this machine."""

from __future__ import annotations

import platform
from pathlib import Path


def told() -> dict[str, str]:
    """Return the first value of each entry of Linux's ``/proc/cpuinfo``; empty if it cannot be read."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found


def name() -> str:
    """Return the name that the manufacturer gave the processor, or else the name of its kind."""
    return told().get("model name") or platform.processor() or platform.machine()
