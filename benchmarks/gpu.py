"""Time the engine on a GPU, if JAX finds one, with all runs of an ensemble in parallel.

This part of the benchmark has not been run on a GPU yet.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import contenders
import jax
import worker
from machine import Measurement, measurement

from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Schedule

ENSEMBLES = (64, 256, 1024, 4096)


def on_gpu(repetitions: int, ensembles: Sequence[int], long: int) -> list[Measurement]:
    """Measure the wall time per step and run, from the difference between a long and a short run.

    A worker calls this function in a fresh process.  The list is empty if JAX finds no GPU.
    """
    if jax.default_backend() != "gpu":
        return []
    device = jax.devices()[0].device_kind
    result = []
    for width in contenders.WIDTHS:
        for precision in contenders.PRECISIONS:
            for runs in ensembles:
                problem, parameters = contenders.build(contenders.Case(width, precision), runs)
                times: list[float] = []
                for repetition in range(repetitions + 1):
                    marks = [time.perf_counter()]
                    for steps in (long // 5, long):
                        train_ensemble(
                            problem,
                            contenders.same_runs(parameters, steps),
                            Schedule.regular(steps, steps),
                            precision=precision,
                            engine="xla",
                            batching="parallel",
                        )
                        marks.append(time.perf_counter())
                    short_time, long_time = marks[1] - marks[0], marks[2] - marks[1]
                    # The first repetition is not counted: it compiles kernels that the driver keeps.
                    if repetition > 0:
                        times.append((long_time - short_time) / ((long - long // 5) * runs) * 1e6)
                keys = {"width": width, "precision": precision, "seeds": runs, "device": device}
                result.append(measurement("gpu", "time", "µs/step/run", times, **keys))
    return result


def measure(repetitions: int, ensembles: Sequence[int] = ENSEMBLES, long: int = 50_000) -> list[Measurement]:
    """Measure on the first GPU; the list is empty if there is no GPU."""
    # The rest of the benchmark keeps JAX off the GPU; in this process JAX may use one.
    changes = {"JAX_PLATFORMS": None, "PJRT_NPROC": None}
    arguments: dict[str, Any] = {"repetitions": repetitions, "ensembles": list(ensembles), "long": long}
    found: list[Measurement] = worker.call("gpu.on_gpu", changes=changes, **arguments)
    return found
