"""The engine on a GPU, if JAX finds one: ensembles side by side.  Not yet run on one."""

from __future__ import annotations

import time
from collections.abc import Sequence

import contenders
import jax
import worker
from machine import Measurement, measurement

from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Schedule

ENSEMBLES = (64, 256, 1024, 4096)


def on_gpu(repetitions: int, ensembles: Sequence[int], long: int) -> list[Measurement]:
    """Wall time of a step of a run, from the difference between a long and a short run.  For a worker."""
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
                    # The first round compiles kernels that the driver keeps, and is not counted.
                    if repetition > 0:
                        times.append((long_time - short_time) / ((long - long // 5) * runs) * 1e6)
                keys = {"width": width, "precision": precision, "seeds": runs, "device": device}
                result.append(measurement("gpu", "time", "µs/step/run", times, **keys))
    return result


def measure(repetitions: int, ensembles: Sequence[int] = ENSEMBLES, long: int = 50_000) -> list[Measurement]:
    """Measurements on the first GPU, none where there is none."""
    # The rest of the benchmark keeps JAX off the GPU; this process is left to find one.
    changes = {"JAX_PLATFORMS": None, "PJRT_NPROC": None}
    arguments = {"repetitions": repetitions, "ensembles": list(ensembles), "long": long}
    found: list[Measurement] = worker.call("gpu.on_gpu", changes=changes, **arguments)
    return found
