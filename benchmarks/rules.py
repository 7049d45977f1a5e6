"""Measure the cost of a step with a learning rate that follows the curvature, relative to a constant one."""

from __future__ import annotations

from collections.abc import Sequence

import contenders
import jax
from machine import Measurement, measurement

SEEDS = 4
ENGINES: tuple[contenders.Engine, ...] = ("xla", "fused")


def step_times(
    engine: contenders.Engine, case: contenders.Case, repetitions: int, steps: int
) -> dict[str, list[float]]:
    """Measure the processor time per step and run under each of `contenders.RULES`, µs, alternately."""
    times: dict[str, list[float]] = {rule: [] for rule in contenders.RULES}
    with jax.enable_x64(case.precision == "float64"):
        trains = {rule: contenders.engine(engine, case, SEEDS, rule) for rule in contenders.RULES}
        for train in trains.values():
            train(5)
        for _ in range(repetitions):
            for rule, train in trains.items():
                times[rule].append(contenders.step_time(train, (steps // 5, steps), SEEDS))
    return times


def measure(cases: Sequence[contenders.Case], repetitions: int, scale: float) -> list[Measurement]:
    """Measure the ratio of the two times in each repetition, for both engines.

    Args:
        cases: widths and precisions.
        repetitions: number of times that each rule is timed.
        scale: factor on the number of steps; below 1 the times are too short to be meaningful.
    """
    result = []
    for case in cases:
        length = max(10, int(1_000_000 * scale / case.width))
        for engine in ENGINES:
            times = step_times(engine, case, repetitions, length)
            ratios = [dal / plain for dal, plain in zip(times["dal"], times["constant"], strict=True)]
            keys = {"engine": engine, **case._asdict()}
            result.append(measurement("rules", "times a constant rate's step", "1", ratios, **keys))
    return result
