"""Where each result lies, as a path relative to the folder of results.

The rules of the workflow and the declarations of figures both take their paths from here.
"""

from __future__ import annotations

PROTOCOLS = "protocols.nc"
"""The claims of Fig. 3 to 5 under each protocol."""


KNOWN_LOSSES = "flow/known_losses.nc"
"""Flows against gradient descent on losses that are known in closed form."""


def flows(study: str) -> str:
    """Flows against gradient descent along all runs of a study, by its key under `flows`."""
    return f"flows/{study}.nc"


def threshold(study: str, reading: str | None = None) -> str:
    """The power law of a threshold study, by its key under `threshold`.

    Args:
        study: the key.
        reading: key under `readings` of how instabilities are found; None: by `instabilities`.
    """
    return f"threshold/{_read_as(reading)}{study}.nc"


def dataset(name: str) -> str:
    """A training and validation set, by its key under `datasets`."""
    return f"dataset/{name}.nc"


def phase(study: str) -> str:
    """A phase diagram, by its key under `phase`."""
    return f"phase/{study}.nc"


def phase_block(study: str, block: str) -> str:
    """A block of a phase diagram's runs; `block` is `grid.Block.name`."""
    return f"phase/{study}/{block}.nc"


def lazy(study: str) -> str:
    """A grid of gradient flows, by its key under `lazy`."""
    return f"lazy/{study}.nc"


def lazy_block(study: str, block: str) -> str:
    """A block of such a grid; `block` is `grid.LazyBlock.name`."""
    return f"lazy/{study}/{block}.nc"


def trajectory(run: str) -> str:
    """One run step by step; names of runs are made by `grid.trajectory_run` and `grid.threshold_run`."""
    return f"trajectory/{run}.nc"


def spectrum(run: str) -> str:
    """The curvature along a run."""
    return f"spectrum/{run}.nc"


def instabilities(run: str, reading: str | None = None) -> str:
    """The instabilities found along a run; see `threshold` for `reading`."""
    return f"instabilities/{_read_as(reading)}{run}.nc"


def runs(study: str) -> str:
    """All runs of a trajectory study at their snapshots, by its key under `trajectories`."""
    return f"runs/{study}.nc"


def _read_as(reading: str | None) -> str:
    return "" if reading is None else f"{reading}/"
