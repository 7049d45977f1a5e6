"""Measure the cost of a job besides its computation (imports, compilation, writing), and of planning."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import worker
from machine import Measurement, measurement

from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.stages import prepare_dataset

ROOT = Path(__file__).resolve().parents[1]
# Files that a dry run reads.  It runs in a copy of the project, so that existing results do not shorten its
# plan.
PARTS = ("Snakefile", "workflow", "profiles", "src", "envs", "config.yaml", "pyproject.toml")
# Two is the smallest number of steps that leaves time for a static period at the end.
SETTINGS = json.dumps({"steps": 2, "record_every": 2})


def timed(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
) -> tuple[float, str]:
    """Run ``python …``; return the wall seconds and the output.

    Raises:
        RuntimeError: if the command failed.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} failed:\n{done.stdout}")
    return seconds, done.stdout


def copy_project(folder: Path) -> None:
    """Copy the files that Snakemake reads, without results, to an empty folder."""
    for part in PARTS:
        source = ROOT / part
        if source.is_symlink():
            (folder / part).symlink_to(os.readlink(source))
        elif source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)


def planned_jobs(output: str) -> int | None:
    """Return the number of jobs that a dry run reports; None if it reports none."""
    found = re.search(r"^total\s+(\d+)", output, re.MULTILINE)
    return int(found[1]) if found else None


def training_job(repetitions: int, first: bool) -> list[Measurement]:
    """Time a job of a phase study with a run of two steps, at its first start and at a later start.

    Args:
        repetitions: number of times that each start is timed.
        first: whether the first start is measured too; it compiles everything that is kept on disk.
    """
    seconds: dict[str, list[float]] = {"first": [], "later": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = folder / "spiral.nc"
        prepare_dataset.run(SpiralSettings(), dataset)
        files = ["--dataset", str(dataset), "--output", str(folder / "block.nc")]
        command = ["-m", "dynamical_loss", "train-phase-block", *files, "--settings", SETTINGS]
        for repetition in range(repetitions):
            cache = folder / str(repetition)
            changes: dict[str, str | None] = {
                "PYTHONDONTWRITEBYTECODE": None,
                "JAX_ENABLE_COMPILATION_CACHE": "true",
                "JAX_COMPILATION_CACHE_DIR": str(cache / "programs"),
            }
            if first:
                changes["NUMBA_CACHE_DIR"] = str(cache / "loops")
                changes["PYTHONPYCACHEPREFIX"] = str(cache / "bytecode")
            for start in ("first", "later") if first else ("later",):
                seconds[start].append(timed(command, worker.environment(**changes))[0])
    return [
        measurement("start", "training job, nothing compiled yet", "s", seconds["first"] or None),
        measurement("start", "training job, started before", "s", seconds["later"]),
    ]


def plan(repetitions: int) -> list[Measurement]:
    """Time dry runs at the paper's sizes."""
    seconds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_project(folder)
        environment = worker.environment(
            XDG_CACHE_HOME=str(folder / ".cache"), PYTHONPATH=str(folder / "src")
        )
        command = ["-m", "snakemake", "-n", "--quiet", "rules", "--configfile", "workflow/scales/paper.yaml"]
        for _ in range(repetitions):
            elapsed, output = timed(command, environment, folder)
            seconds.append(elapsed)
    jobs = planned_jobs(output)
    return [measurement("start", "snakemake -n at the paper's sizes", "s", seconds, jobs=jobs)]


def measure(repetitions: int, first: bool = True) -> list[Measurement]:
    """Measure the start of a training job, with or without its first start, and the planning."""
    return training_job(repetitions, first) + plan(repetitions)
