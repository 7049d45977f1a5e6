"""Where each result lies, as a path relative to the folder of results.

The rules of the workflow and the declarations of figures both take their paths from here.
"""

from __future__ import annotations

THRESHOLD = "threshold.nc"
"""The power law of the threshold of instability, fitted over all runs of the threshold study."""


def dataset(name: str) -> str:
    """A training and validation set, by its key under `datasets`."""
    return f"dataset/{name}.nc"


def phase(study: str) -> str:
    """A phase diagram, by its key under `phase`."""
    return f"phase/{study}.nc"


def phase_block(study: str, block: str) -> str:
    """A block of a phase diagram's runs; `block` is `grid.Block.name`."""
    return f"phase/{study}/{block}.nc"


def trajectory(run: str) -> str:
    """One run step by step; names of runs are made by `grid.trajectory_run` and `grid.threshold_run`."""
    return f"trajectory/{run}.nc"


def spectrum(run: str) -> str:
    """The curvature along a run."""
    return f"spectrum/{run}.nc"


def instabilities(run: str) -> str:
    """The instabilities found along a run."""
    return f"instabilities/{run}.nc"
