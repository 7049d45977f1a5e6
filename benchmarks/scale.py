"""Measure the overhead of a study of ten thousand cells: planning, starting jobs, reading and writing.

Everything but the training is real.  In a copy of the project a stub replaces the training: it runs the
engine for one step of one run and fills the learning curves of all runs with noise.
"""

from __future__ import annotations

import csv
import json
import re
import resource
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import worker
from machine import Measurement, cores, measurement
from startup import copy_project, planned_jobs, timed

PEAK = Path(__file__).resolve().parent / "peak.py"
NAME = "many_cells"
TARGET = f"results/{NAME}/phase/spiral_w100.nc"
STEPS = 35_000
_LONG, _SHORT = ("10", "12", "14"), ("10",)  # amplitudes of the jobs that measure the time of a step

# Matches the log and the line `cache: True` of a rule; the replacement has a benchmark file instead of the
# cache.
_CACHED = re.compile(r'(f"[^"\n]+)\.log(",\n)    cache: True\n')
_MEASURED = r'\1.log\2    benchmark:\n        \1.tsv"\n'

# Noise cannot be compressed, so it takes the longest time to write.
STUB = '''

_trained = train_ensemble


def train_ensemble(problem, runs, schedule, **options):
    """Run one step of one run, and fill the history with noise to the shape that was requested."""
    one = Runs(*jax.tree.map(lambda leaf: leaf[:1], tuple(runs)))
    history = _trained(problem, one, Schedule((0, 1)), **options)
    generator = np.random.default_rng(0)
    shape = (len(runs.period), len(schedule.record_steps))

    def noise(array):
        return generator.random(shape + array.shape[2:], array.dtype)

    records = {name: noise(getattr(history, name)) for name in ("class_weight", *RECORDS)}
    return history._replace(step=np.asarray(schedule.record_steps), **records)
'''


class Study(NamedTuple):
    """A phase study of the paper's narrow network.

    Attributes:
        periods: number of periods.
        amplitudes: number of amplitudes above 1; the static loss adds one cell.
        seeds: number of runs per cell, all in one job.
    """

    periods: int
    amplitudes: int
    seeds: int

    @property
    def cells(self) -> int:
        """Number of cells that are trained; all periods share the static cell."""
        return self.periods * self.amplitudes + 1

    def settings(self, amplitudes_per_block: int) -> dict[str, object]:
        """Return the settings that differ from the defaults; integer amplitudes make short file names."""
        return {
            "periods": [50 * (index + 1) for index in range(self.periods)],
            "amplitudes": list(range(1, self.amplitudes + 2)),
            "seeds": self.seeds,
            "seeds_per_block": self.seeds,
            "amplitudes_per_block": amplitudes_per_block,
            "steps": STEPS,
        }


class Copy:
    """A copy of the project in which Snakemake runs the study.

    Args:
        folder: empty folder for the copy.
        study: study to run.
    """

    def __init__(self, folder: Path, study: Study) -> None:
        self.folder, self.study = folder, study
        copy_project(folder)
        # As for a user, compiled programs are kept between jobs, but in the copy's own folder.
        self.environment = worker.environment(
            XDG_CACHE_HOME=str(folder / ".cache"),
            PYTHONPATH=str(folder / "src"),
            PYTHONDONTWRITEBYTECODE=None,
            JAX_ENABLE_COMPILATION_CACHE="true",
        )

    def measured(self, *arguments: str) -> tuple[float, str, float]:
        """Run ``python -m …`` in the copy; return wall seconds, output and peak memory in MB.

        The memory of processes that the command starts is not included.

        Raises:
            RuntimeError: if the command failed.
        """
        seconds, output = timed([str(PEAK), *arguments], self.environment, self.folder)
        return seconds, output, float(output.splitlines()[-1])

    def snakemake(self, amplitudes_per_block: int, *options: str) -> tuple[float, str, float]:
        """Run Snakemake for the study with a number of amplitudes per job; return what `measured` returns."""
        phase = {"spiral_w100": self.study.settings(amplitudes_per_block)}
        (self.folder / "overlay.json").write_text(
            json.dumps({"scale": NAME, "phase": phase}), encoding="utf-8"
        )
        return self.measured("snakemake", *options, "--configfile", "overlay.json", "--", TARGET)

    def replace_training(self) -> None:
        """Replace the training engine by the stub, and make Snakemake measure the time of each job.

        Snakemake measures no job whose rule has `cache: True`, so this line is removed from the rules.
        """
        path = self.folder / "src/dynamical_loss/training/ensemble.py"
        path.write_text(path.read_text(encoding="utf-8") + STUB, encoding="utf-8")
        for path in (self.folder / "workflow/rules").glob("*.smk"):
            path.write_text(_CACHED.sub(_MEASURED, path.read_text(encoding="utf-8")), encoding="utf-8")

    def seconds(self, rule: str) -> list[float]:
        """Return the wall time of the command of each job of a rule, s, as Snakemake measured it."""
        found = []
        for path in sorted((self.folder / "logs" / NAME / rule).rglob("*.tsv")):
            with open(path, encoding="utf-8", newline="") as stream:
                found += [float(row["s"]) for row in csv.DictReader(stream, delimiter="\t")]
        return found


def plan(copy: Copy, amplitudes_per_block: int, repetitions: int) -> list[Measurement]:
    """Measure the time and the peak memory of dry runs of the study."""
    runs = [copy.snakemake(amplitudes_per_block, "-n", "--quiet", "rules") for _ in range(repetitions)]
    seconds, outputs, memory = zip(*runs, strict=True)
    keys = {
        "cells": copy.study.cells,
        "amplitudes_per_block": amplitudes_per_block,
        "jobs": planned_jobs(outputs[0]),
    }
    return [
        measurement("scale", "plan", "s", seconds, **keys),
        measurement("scale", "memory of the plan", "MB", memory, **keys),
    ]


def overhead(copy: Copy, amplitudes_per_block: int) -> list[Measurement]:
    """Run the whole study with the stub on all cores, and its last job once more alone.

    The overhead per job is the wall time times the number of cores, divided by the number of training jobs.
    The overhead in processor time excludes the time in which the cores waited or did other work.
    """
    copy.replace_training()
    count = cores()
    before = _processor_seconds()
    wall, _, memory = copy.snakemake(amplitudes_per_block, "--cores", str(count), "--quiet", "all")
    busy = _processor_seconds() - before
    training = copy.seconds("train_phase_block")
    commands = training + copy.seconds("prepare_dataset") + copy.seconds("aggregate_phase")
    blocks = sorted((copy.folder / TARGET).with_suffix("").glob("*.nc"))
    settings = json.dumps(copy.study.settings(amplitudes_per_block))
    aggregation, _, memory_of_aggregation = copy.measured(
        *("dynamical_loss", "aggregate-phase", "--settings", settings, "--output", "again.nc"),
        *map(str, blocks),
    )
    keys = {
        **copy.study._asdict(),
        "steps": STEPS,
        "cells": copy.study.cells,
        "amplitudes_per_block": amplitudes_per_block,
        "jobs": len(training),
        "cores": count,
    }
    values: list[tuple[str, str, list[float] | float]] = [
        ("study without training", "s", wall),
        ("memory of Snakemake", "MB", memory),
        ("command of a training job", "s", training),
        ("aggregation", "s", aggregation),
        ("memory of the aggregation", "MB", memory_of_aggregation),
        ("overhead a job", "core·s", count * wall / len(training)),
        ("overhead a job in processor time", "s", busy / len(training)),
        ("overhead a job outside commands", "core·s", (count * wall - sum(commands)) / len(training)),
    ]
    return [measurement("scale", quantity, unit, value, **keys) for quantity, unit, value in values]


def training_step(copy: Copy, repetitions: int) -> list[Measurement]:
    """Measure the processor time per step and run of real training, with a job on each core as in the study.

    The time is the difference between jobs of three cells and jobs of one cell, so start-up cancels.
    """
    copy.measured("dynamical_loss", "prepare-dataset", "--output", "spiral.nc")
    settings = json.dumps({"steps": STEPS})
    extra = (len(_LONG) - len(_SHORT)) * copy.study.seeds * STEPS * cores()

    def job(amplitudes: tuple[str, ...], number: int) -> None:
        cells = [word for amplitude in amplitudes for word in ("--amplitude", amplitude)]
        seeds = ("--last-seed", str(copy.study.seeds - 1))
        copy.measured(
            *("dynamical_loss", "train-phase-block", "--dataset", "spiral.nc", "--period", "50", *cells),
            *(*seeds, "--settings", settings, "--output", f"step{number}.nc"),
        )

    def seconds(amplitudes: tuple[str, ...]) -> float:
        before = _processor_seconds()
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(lambda number: job(amplitudes, number), range(cores())))
        return _processor_seconds() - before

    seconds(_SHORT)  # compiles
    steps = [1e6 * (seconds(_LONG) - seconds(_SHORT)) / extra for _ in range(repetitions)]
    return [measurement("scale", "training step", "µs", steps, cells=copy.study.cells)]


def _processor_seconds() -> float:
    """Return the processor time of all child processes that have ended, including their own children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(study: Study, amplitudes_per_block: int, repetitions: int) -> list[Measurement]:
    """Plan the study with several cells per job and with one, then run all of it without training."""
    with tempfile.TemporaryDirectory() as name:
        copy = Copy(Path(name), study)
        plans = plan(copy, amplitudes_per_block, repetitions) + plan(copy, 1, 1)
        # Real training is timed before the stub replaces it, and within the same quarter of an hour,
        # because the speed of a machine changes with time.
        step = training_step(copy, repetitions)
        return plans + step + overhead(copy, amplitudes_per_block)
