"""Run ``python -m MODULE …`` in this process, and print its peak memory in MB as the last line.

    python benchmarks/peak.py MODULE …

The memory of processes that the module starts is not included.
"""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":
    del sys.argv[0]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    finally:
        # Imported only here, because its imports would add to the memory of the module.
        import machine

        print(machine.peak_memory())
