"""``python -m MODULE …`` in this process, and then its peak memory in MB as the last line.

    python benchmarks/peak.py MODULE …

Processes that the module starts are not in it.
"""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":
    del sys.argv[0]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    finally:
        # Only now: what it imports would be measured too.
        import machine

        print(machine.peak_memory())
