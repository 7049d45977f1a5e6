"""Compare XLA's own level of optimisation with that of the pipeline.

Each measurement is a fresh process, and the levels take turns.  A process compiles a program that draws
random numbers, as almost every job does, and trains the network of images.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import contenders
import image_training
import jax
import worker
from machine import Measurement, measurement

from dynamical_loss import environment
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Schedule

FLAG, _, OURS = environment.XLA_FLAG.partition("=")
DEFAULT = "3"
"""XLA's own level."""


def seconds(channels: int, steps: int) -> dict[str, float]:
    """Return the processor seconds of compiling and of a training step in this process, by their names."""
    program = jax.jit(lambda seed: jax.random.normal(jax.random.key(seed), (1000,)))
    lowered = program.lower(0)
    began = time.process_time()
    lowered.compile()
    compiling = time.process_time() - began
    case = image_training.Case(channels, 100, samples=1000)
    problem, parameters = image_training.build(case)

    def train(count: int) -> Any:
        runs = image_training.runs(parameters, 100, 10.0, count)
        return train_ensemble(problem, runs, Schedule((count,)), precision="float32")

    lengths = max(1, steps // 6), steps
    for length in lengths:
        train(length)  # later calls find the program on disk
    step = contenders.step_time(train, lengths, 1) / 1e6
    return {"compiling random numbers": compiling, f"a step on images, {channels} channels": step}


def measure(repetitions: int, channels: int, steps: int) -> list[Measurement]:
    """Measure times at the pipeline's level, and the ratio of XLA's own level to it in each repetition.

    Args:
        repetitions: number of processes at each level.
        channels: number of channels of the network of images.
        steps: number of training steps.
    """
    times: dict[str, list[dict[str, float]]] = {OURS: [], DEFAULT: []}
    for _ in range(repetitions):
        for level, found in times.items():
            with tempfile.TemporaryDirectory() as programs:
                changes = {
                    "XLA_FLAGS": f"{FLAG}={level}",
                    "JAX_ENABLE_COMPILATION_CACHE": "true",
                    "JAX_COMPILATION_CACHE_DIR": programs,
                }
                found.append(worker.call("compiler.seconds", changes=changes, channels=channels, steps=steps))
    result = []
    for work in times[OURS][0]:
        ours, default = ([each[work] for each in times[level]] for level in (OURS, DEFAULT))
        ratios = [one / other for one, other in zip(default, ours, strict=True)]
        result.append(measurement("compiler", "time", "s", ours, work=work))
        result.append(measurement("compiler", "times that of the pipeline's level", "1", ratios, work=work))
    return result
