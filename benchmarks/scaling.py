"""What several processes do side by side, beside one alone: jobs of the pipeline share the machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

import contenders
import worker
from machine import Measurement, cores, measurement

CASE = contenders.Case(100, "float32")


def job(steps: int) -> list[float]:
    """Train 16 runs when told to on standard input; returns when it started and ended, seconds."""
    train = contenders.engine("fused", CASE, 16)
    train(5)
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.time()
    train(steps)
    return [start, time.time()]


def wall_time(processes: int, steps: int) -> float:
    """Seconds from the start of the first of several equal jobs to the end of the last.

    Raises:
        RuntimeError: if a job failed.
    """
    with ExitStack() as stack:
        jobs = [
            stack.enter_context(
                subprocess.Popen(
                    worker.command("scaling.job", {"steps": steps}),
                    env=worker.environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(processes)
        ]
        ready = [process.stdout.readline() for process in jobs]
        if all(ready):
            # All at once, and only then the first answer is waited for.
            for process in jobs:
                process.stdin.write("go\n")
                process.stdin.flush()
        answers = [process.communicate()[0] for process in jobs]
    if not all(answers):
        raise RuntimeError("a job failed; what it wrote is above")
    starts, stops = zip(*map(json.loads, answers), strict=True)
    return max(stops) - min(starts)


def measure(repetitions: int, steps: int) -> list[Measurement]:
    """Work done side by side over that of one process alone, repetition by repetition."""
    counts: Sequence[int] = sorted({2, cores()}) if cores() > 1 else ()
    ratios: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(repetitions if counts else 0):
        alone = wall_time(1, steps)
        for count in counts:
            ratios[count].append(count * alone / wall_time(count, steps))
    return [
        measurement("scaling", "work of one process", "1", values, processes=count, **CASE._asdict())
        for count, values in ratios.items()
    ]
