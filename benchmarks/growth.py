"""Measure how time grows with seeds, grid cells, width and steps, and memory with steps; and plot both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import contenders
import jax
import machine
import matplotlib.pyplot as plt
import numpy as np
import worker
from machine import Measurement, measurement
from matplotlib.ticker import NullFormatter

from dynamical_loss.figures import style
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Runs, Schedule

PRECISION: contenders.Precision = "float32"
WIDTH, STEPS = 100, 8000
ENOUGH = 0.5  # processor seconds after which a point is not measured again
SEEDS = 8  # number of seeds where neither seeds nor cells vary; one run is lost in the noise of start-up
# Quantities that are varied.  Seeds are varied in one cell, cells with one seed, and the rest in one cell.
RANGES: dict[str, tuple[int, ...]] = {
    "seeds": (1, 2, 4, 8, 16, 32, 64),
    "cells": (1, 2, 4, 8, 16),
    "width": (50, 100, 200, 500, 1000, 2000),
    "steps": (1000, 2000, 4000, 8000, 16_000, 32_000, 64_000),
}
MEMORY_STEPS = (1000, 4000, 16_000, 64_000)
# (record_every, snapshot_every) of a phase study and of a followed trajectory
KEPT = {"phase study": (500, None), "trajectory": (1, 25)}


def seconds(seeds: int, cells: int, width: int, steps: int) -> float:
    """Return the processor seconds of one ensemble, trained as in the pipeline, including compilation."""
    problem, parameters = contenders.build(contenders.Case(width, PRECISION), seeds)
    count = seeds * cells
    amplitude = np.repeat(np.linspace(1, 20, cells), seeds)
    runs = Runs(
        jax.tree.map(lambda leaf: np.concatenate([leaf] * cells), parameters),
        np.full(count, contenders.PERIOD),
        amplitude,
        np.full(count, contenders.LEARNING_RATE),
        np.full(count, steps),
    )
    start = time.process_time()
    train_ensemble(problem, runs, Schedule.regular(steps, 500), precision=PRECISION)
    return time.process_time() - start


def memory(width: int, steps: int, kept: str) -> float:
    """Return the peak memory of this process after one run, MB.  A worker calls it in a fresh process."""
    problem, parameters = contenders.build(contenders.Case(width, PRECISION), 1)
    record_every, snapshot_every = KEPT[kept]
    schedule = Schedule.regular(steps, record_every, snapshot_every)
    train_ensemble(problem, contenders.same_runs(parameters, steps), schedule, precision=PRECISION)
    return machine.peak_memory()


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Fit the exponent of a power law by least squares on the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def measure(
    repetitions: int,
    ranges: dict[str, tuple[int, ...]] = RANGES,
    memory_steps: Sequence[int] = MEMORY_STEPS,
    steps: int = STEPS,
) -> list[Measurement]:
    """Measure memory, and along each range the time beyond that of a one-step run, with its exponent.

    Args:
        repetitions: largest number of repetitions per point; long runs are repeated less often.
        ranges: sizes by the quantity that is varied.
        memory_steps: lengths of the runs whose memory is measured.
        steps: length of a run where the length is not varied.
    """
    seconds(1, 1, WIDTH, 1)  # compiles what a process compiles only once
    start = statistics.median(seconds(1, 1, WIDTH, 1) for _ in range(repetitions))
    result = [measurement("growth", "start", "s", start)]
    for varied, sizes in ranges.items():
        medians = []
        for size in sizes:
            seeds = 1 if varied in ("seeds", "cells") else SEEDS
            held: dict[str, Any] = {"seeds": seeds, "cells": 1, "width": WIDTH, "steps": steps, varied: size}
            times: list[float] = []
            while len(times) < repetitions and sum(times) < ENOUGH:
                # The difference can be negative for a toy run, and the fit needs the logarithm of a
                # positive number.
                times.append(max(seconds(**held) - start, 1e-6))
            keys = {"varied": varied, **held, "precision": PRECISION}
            result.append(measurement("growth", "time of steps", "s", times, **keys))
            medians.append(result[-1]["median"])
        result.append(measurement("growth", "exponent", "1", slope(sizes, medians), varied=varied))
    jobs: list[dict[str, Any]] = [
        {"width": WIDTH, "steps": size, "kept": kept} for kept in KEPT for size in memory_steps
    ]
    # Like all jobs on a machine but the first, these processes find the compiled loop on disk.
    found = worker.call_all("growth.memory", jobs, machine.cores())
    for job, size in zip(jobs, found, strict=True):
        keys = {**job, "record_every": KEPT[job["kept"]][0], "snapshot_every": KEPT[job["kept"]][1]}
        result.append(measurement("growth", "peak memory", "MB", size, **keys))
    return result


def draw(measurements: Sequence[Measurement], path: Path) -> None:
    """Plot the growth of time in the first four panels, and of memory in the last."""
    found = [entry for entry in measurements if entry["section"] == "growth"]
    # A lower resolution than in print, because the picture is shown in the README.
    with style.style(), plt.rc_context({"savefig.dpi": 160}):
        figure, axes = plt.subplots(1, len(RANGES) + 1, figsize=(style.PAGE, 1.6))
        for axis, varied in zip(axes, RANGES, strict=False):
            entries = [e for e in found if e.get("varied") == varied]
            points = [e for e in entries if e["quantity"] == "time of steps"]
            exponent = next(e["median"] for e in entries if e["quantity"] == "exponent")
            sizes, times = [e[varied] for e in points], [e["median"] for e in points]
            below = [e["median"] - e["minimum"] for e in points]
            above = [e["maximum"] - e["median"] for e in points]
            constant = np.exp(np.mean(np.log(times) - exponent * np.log(sizes)))
            axis.loglog(sizes, constant * np.power(sizes, exponent), color=style.THEORY_COLOUR)
            axis.errorbar(sizes, times, [below, above], fmt="o", markersize=2.5, color=style.MEASURED_COLOUR)
            # The error bars may reach zero or below, as the points are differences of two short times.
            axis.set(xlabel=varied, ylim=(min(times) / 2, max(times) * 2))
            # On an axis of one decade, minor ticks would have labels that overlap the panel on the left.
            axis.yaxis.set_minor_formatter(NullFormatter())
            axis.text(0.06, 0.88, f"exponent {exponent:.2f}", transform=axis.transAxes, fontsize=6)
        axes[0].set_ylabel("processor time (s)")
        for kept, colour in zip(KEPT, (style.TRAIN_COLOUR, style.VALIDATION_COLOUR), strict=True):
            points = [e for e in found if e["quantity"] == "peak memory" and e["kept"] == kept]
            sizes, memories = [e["steps"] for e in points], [e["median"] for e in points]
            axes[-1].semilogx(sizes, memories, "o-", markersize=2.5, color=colour, label=kept)
        axes[-1].set(xlabel="steps", ylabel="peak memory (MB)")
        axes[-1].set_ylim(0, 1.2 * axes[-1].dataLim.ymax)
        axes[-1].legend(loc="lower left")
        style.panel_letters(axes)
        style.save(figure, [path])
        plt.close(figure)
