"""Results for pages of the explorer, with properties that are known in closed form."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from claim_results import event_columns, origin, phase, spectrum_file, threshold_file, with_settings
from dynamical_loss.explorer import phase as phase_page
from dynamical_loss.explorer import run as run_page
from dynamical_loss.explorer import threshold as threshold_page
from dynamical_loss.pages import page as pages

STEPS = 70_001
SPIKE = 31_415
"""Step of a single large loss, which a thinned line must still show."""

UNSTABLE = (20_000, 20_400)
"""Steps between which the loss alternates between two branches."""


def diagram(
    *, seeds: int = 4, curves: bool = True, diverged: int = 0, classes: int = 3, width: int = 100
) -> xr.Dataset:
    """Make a phase diagram; run k of a cell ends with training accuracy 0.5 + A/1000 + T/100000 + k/100."""
    found = phase(
        lambda period, amplitude: 0.5 + amplitude / 1000 + period / 100_000,
        seeds=seeds,
        width=width,
        seeds_per_block=seeds,
        periods=(50, 200, 2000),
        amplitudes=(1.0, 5.0, 20.0, 70.0),
    )
    shift = np.arange(seeds) / 100
    for name in ("train_accuracy", "validation_accuracy"):
        found[name] = found[name].mean("seed").expand_dims(seed=seeds, axis=2) + shift
    flags = np.zeros(found["train_accuracy"].shape, np.int8)
    flags[..., :diverged] = 1
    found["diverged"] = (found["train_accuracy"].dims, flags)
    if curves:
        found = found.assign_coords(step=[0, 35_000, 70_000])
        for name in ("train_accuracy", "validation_accuracy"):
            along = found[name].expand_dims(step=found["step"], axis=3) * np.array([0.5, 1.0, 1.0])
            found[f"{name}_curve"] = along.astype(np.float32)
    return found.assign_attrs(dataset_description=f"{classes} classes")


def run(*, classes: int = 3, diverged: bool = False, steps: int = STEPS) -> dict[str, list[xr.Dataset]]:
    """Make the files of a run: the loss is 1/(1 + t/1000), with a spike and a stretch with two branches."""
    step = np.arange(steps)
    loss = 1 / (1 + step / 1000)
    branch = (step >= UNSTABLE[0]) & (step < UNSTABLE[1])
    loss[branch] += np.where(step[branch] % 2 == 0, 0.5, -0.01)
    if steps > SPIKE:
        loss[SPIKE] = 7.0
    if diverged:
        loss[steps // 2 :] = math.nan
    weights = np.ones((steps, classes))
    weights[:, 0] = np.linspace(1, 2, steps)
    accuracy = np.minimum(1.0, step / steps).astype(np.float32)
    trajectory = with_settings(
        xr.Dataset(
            {
                "class_weight": (("step", "class_index"), weights),
                "weighted_loss": ("step", loss),
                "train_accuracy": ("step", accuracy),
                "validation_accuracy": ("step", accuracy / 2),
                "learning_rate": ("step", np.full(steps, 0.5)),  # recorded also if it does not change
                "diverged": ((), int(diverged)),
            },
            coords={"step": step},
        ),
        origin(),
    )
    sharpness = spectrum_file(lambda step: 1 + step / 70_000, ntk=lambda step: 10 + step)
    events = with_settings(
        xr.Dataset(event_columns(np.array([UNSTABLE[0], 40_000]))), {"trajectory": origin()}
    )
    return {"trajectory": [trajectory], "spectrum": [sharpness], "instabilities": [events]}


def thresholds() -> xr.Dataset:
    """Make a threshold study that follows 2/η exactly, apart from one per cent between seeds."""
    study = threshold_file()
    shape = study["threshold_by_definition"].shape[1:]
    dimensions = ("learning_rate", "width", "seed")
    return study.assign(
        threshold=(dimensions, study["threshold_by_definition"].values[0]),
        tested=(dimensions, np.ones(shape, np.int8)),
        unstable_periods=(("rule", *dimensions), np.full((2, *shape), 3)),
    )


def written(kind: str, files: dict[str, list[xr.Dataset]], path: Path, **options: Any) -> Path:
    """Write a page of a kind, and return its path."""
    modules = {"phase": phase_page, "run": run_page, "threshold": threshold_page}
    made = modules[kind].render(files, path.stem, options)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(pages.html(made), encoding="utf-8")
    return path
