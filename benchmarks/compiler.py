"""Compare XLA's own level of optimisation with that of the pipeline.

Each measurement is a fresh process, and the levels take turns.  A process draws the initial parameters of a
perceptron and of a network of images for the first time, as almost every job does, and trains the latter.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from typing import Any

import contenders
import image_training
import worker
from machine import Measurement, measurement

from dynamical_loss import environment
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.kinds.myrtle5 import Myrtle5Settings
from dynamical_loss.models.network import initial_parameters
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Schedule

FLAG, _, OURS = environment.XLA_FLAG.partition("=")
DEFAULT = "3"
"""XLA's own level."""


def seconds(channels: int, steps: int) -> dict[str, float]:
    """Return the processor seconds of work in this process, most of which is compiling, and of a step."""
    networks = {
        "a perceptron": (MLPSettings(width=100).build(3), (2,)),
        "Myrtle5": (Myrtle5Settings(kind="myrtle5", channels=channels).build(10), (32, 32, 3)),
    }
    marks = [time.process_time()]
    for network, shape in networks.values():
        initial_parameters(network, shape, [0])
        marks.append(time.process_time())
    compiling = {
        f"first initial parameters of {name}": end - begin
        for name, (begin, end) in zip(networks, itertools.pairwise(marks), strict=True)
    }
    case = image_training.Case(channels, 100, samples=1000)
    problem, parameters = image_training.build(case)

    def train(count: int) -> Any:
        runs = image_training.runs(parameters, 100, 10.0, count)
        return train_ensemble(problem, runs, Schedule((count,)), precision="float32")

    lengths = max(1, steps // 6), steps
    for length in lengths:
        train(length)  # later calls find the program on disk
    step = contenders.step_time(train, lengths, 1) / 1e6
    return compiling | {f"a step on images, {channels} channels": step}


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
