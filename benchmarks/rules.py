"""What a learning rate that follows the curvature costs: a step of it over a step with a constant one."""

from __future__ import annotations

import time
from collections.abc import Sequence

import contenders
import jax
import numpy as np
from machine import Measurement, measurement

from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.training import problem as problems
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Schedule

RULES = {"constant": {}, "dal": {"kind": "dal", "power": 1, "cap": 2}}
SEEDS = 4


def trainer(engine: str, rule: str, case: contenders.Case) -> contenders.Train:
    """The pipeline's training with one of `RULES`."""
    settings = TrainingSettings.model_validate(
        {"model": {"width": case.width}, "precision": case.precision, "learning_rate_rule": RULES[rule]}
    )
    problem, parameters = problems.build(settings, contenders.data(), range(SEEDS))

    def run(steps: int) -> contenders.Array:
        history = train_ensemble(
            problem,
            contenders.same_runs(parameters, steps),
            Schedule.regular(steps, steps),
            precision=case.precision,
            engine=engine,
        )
        return history.weighted_loss[:, -1]

    return run


def step_times(engine: str, case: contenders.Case, repetitions: int, steps: int) -> dict[str, list[float]]:
    """Processor time of a step of a run under each of `RULES`, µs, in turns; see `contenders.step_times`."""
    times: dict[str, list[float]] = {rule: [] for rule in RULES}
    with jax.enable_x64(case.precision == "float64"):
        trains = {rule: trainer(engine, rule, case) for rule in RULES}
        for train in trains.values():
            train(5)
        for _ in range(repetitions):
            for rule, train in trains.items():
                marks = [time.process_time()]
                for length in (steps // 5, steps):
                    train(length)
                    marks.append(time.process_time())
                short, long = np.diff(marks)
                times[rule].append(float(long - short) / (SEEDS * (steps - steps // 5)) * 1e6)
    return times


def measure(cases: Sequence[contenders.Case], repetitions: int, scale: float) -> list[Measurement]:
    """Ratios, repetition by repetition, of both engines.

    Args:
        cases: widths and precisions.
        repetitions: of the steps.
        scale: of the number of steps, 1 for numbers that mean something.
    """
    result = []
    for case in cases:
        length = max(10, int(1_000_000 * scale / case.width))
        for engine in ("xla", "fused"):
            times = step_times(engine, case, repetitions, length)
            ratios = [dal / plain for dal, plain in zip(times["dal"], times["constant"], strict=True)]
            keys = {"engine": engine, **case._asdict()}
            result.append(measurement("rules", "times a constant rate's step", "1", ratios, **keys))
    return result
