"""Compare the work of several parallel processes with that of one, as the pipeline's jobs share a machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO

import contenders
import worker
from machine import Measurement, cores, measurement

CASE = contenders.Case(100, "float32")


def job(steps: int) -> list[float]:
    """Train 16 runs after a line on standard input; return the times of start and end, s."""
    train = contenders.engine("fused", CASE, 16)
    train(5)
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.time()
    train(steps)
    return [start, time.time()]


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    """Return standard input and output of a process that was started with pipes."""
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


def wall_time(processes: int, steps: int) -> float:
    """Return the seconds from the start of the first of several equal jobs to the end of the last.

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
        pipes = [_pipes(process) for process in jobs]
        ready = [answers.readline() for _, answers in pipes]
        if all(ready):
            # All jobs are started before the first answer is read.
            for requests, _ in pipes:
                requests.write("go\n")
                requests.flush()
        found = [process.communicate()[0] for process in jobs]
    if not all(found):
        raise RuntimeError("a job failed; its error message is above")
    starts, stops = zip(*map(json.loads, found), strict=True)
    return float(max(stops) - min(starts))


def measure(repetitions: int, steps: int) -> list[Measurement]:
    """Measure the work of parallel processes relative to one process alone, in each repetition."""
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
