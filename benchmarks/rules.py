"""What a learning rate that follows the curvature costs: a step of it over a step with a constant one."""

from __future__ import annotations

from collections.abc import Sequence

import contenders
import jax
from machine import Measurement, measurement

SEEDS = 4


def step_times(engine: str, case: contenders.Case, repetitions: int, steps: int) -> dict[str, list[float]]:
    """Processor time of a step of a run under each of `contenders.RULES`, µs, in turns."""
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
