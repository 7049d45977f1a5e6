"""What a study of ten thousand cells costs beside its training: planning, starting jobs, reading, writing.

All of it is real but the training.  In a copy of the project a stub takes its place, which starts the engine
with one step of one run and fills the learning curves of all others with noise.
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
_LONG, _SHORT = ("10", "12", "14"), ("10",)  # amplitudes of the jobs that tell a step's time

# The log of a rule that may be cached: its name without the suffix, and what follows it.
_CACHED = re.compile(r'(f"[^"\n]+)\.log(",\n)    cache: True\n')
_MEASURED = r'\1.log\2    benchmark:\n        \1.tsv"\n'

# Noise takes the longest to write, as nothing in it can be compressed.
STUB = '''

_trained = train_ensemble


def train_ensemble(problem, runs, schedule, **options):
    """The history of one step of one run, filled up with noise to the shape of what is asked for."""
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
        amplitudes: number of amplitudes above 1; the static loss is one cell more.
        seeds: runs per cell, all in one job.
    """

    periods: int
    amplitudes: int
    seeds: int

    @property
    def cells(self) -> int:
        """Cells that are trained; all periods share the static one."""
        return self.periods * self.amplitudes + 1

    def settings(self, amplitudes_per_block: int) -> dict[str, object]:
        """What differs from the defaults.  Amplitudes are numbers with short names."""
        return {
            "periods": [50 * (index + 1) for index in range(self.periods)],
            "amplitudes": list(range(1, self.amplitudes + 2)),
            "seeds": self.seeds,
            "seeds_per_block": self.seeds,
            "amplitudes_per_block": amplitudes_per_block,
            "steps": STEPS,
        }


class Copy:
    """A copy of the project where Snakemake makes the study.

    Args:
        folder: an empty folder.
        study: the study.
    """

    def __init__(self, folder: Path, study: Study) -> None:
        self.folder, self.study = folder, study
        copy_project(folder)
        # As for a user: what was compiled once is found again, but in the copy.
        self.environment = worker.environment(
            XDG_CACHE_HOME=str(folder / ".cache"),
            PYTHONPATH=str(folder / "src"),
            PYTHONDONTWRITEBYTECODE=None,
            JAX_ENABLE_COMPILATION_CACHE="true",
        )

    def measured(self, *arguments: str) -> tuple[float, str, float]:
        """Wall seconds of ``python -m …`` here, what it wrote, and its own peak memory in MB.

        Raises:
            RuntimeError: if it failed.
        """
        seconds, output = timed([str(PEAK), *arguments], self.environment, self.folder)
        return seconds, output, float(output.splitlines()[-1])

    def snakemake(self, amplitudes_per_block: int, *options: str) -> tuple[float, str, float]:
        """`measured` of the study with so many amplitudes a job."""
        phase = {"spiral_w100": self.study.settings(amplitudes_per_block)}
        (self.folder / "overlay.json").write_text(
            json.dumps({"scale": NAME, "phase": phase}), encoding="utf-8"
        )
        return self.measured("snakemake", *options, "--configfile", "overlay.json", "--", TARGET)

    def replace_training(self) -> None:
        """Put the stub in the place of the training engine, and have Snakemake measure each job.

        It does not measure rules that its cache between workflows may serve.
        """
        path = self.folder / "src/dynamical_loss/training/ensemble.py"
        path.write_text(path.read_text(encoding="utf-8") + STUB, encoding="utf-8")
        for path in (self.folder / "workflow/rules").glob("*.smk"):
            path.write_text(_CACHED.sub(_MEASURED, path.read_text(encoding="utf-8")), encoding="utf-8")

    def seconds(self, rule: str) -> list[float]:
        """Wall time of each job's command, as Snakemake measured it."""
        found = []
        for path in sorted((self.folder / "logs" / NAME / rule).rglob("*.tsv")):
            with open(path, encoding="utf-8", newline="") as stream:
                found += [float(row["s"]) for row in csv.DictReader(stream, delimiter="\t")]
        return found


def plan(copy: Copy, amplitudes_per_block: int, repetitions: int) -> list[Measurement]:
    """Dry runs of the study: time and peak memory."""
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
    """All of the study on all cores, with the stub, and the last of its jobs again by itself.

    The overhead is what the cores could have computed meanwhile, and is shared among the training jobs.
    Its processor time leaves out what the cores waited, or did for others.
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
    """Processor time of a step of a run of real training, on all cores at once as the study's jobs are.

    It is the difference between jobs of three cells and jobs of one, so their start is not in it.
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
    """Processor time of all ended processes that were started from here, and of those that they started."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(study: Study, amplitudes_per_block: int, repetitions: int) -> list[Measurement]:
    """Plans with several cells a job and with one, then all of the study without its training."""
    with tempfile.TemporaryDirectory() as name:
        copy = Copy(Path(name), study)
        plans = plan(copy, amplitudes_per_block, repetitions) + plan(copy, 1, 1)
        # Before the stub takes its place, and in the same quarter of an hour: machines change their speed.
        step = training_step(copy, repetitions)
        return plans + step + overhead(copy, amplitudes_per_block)
