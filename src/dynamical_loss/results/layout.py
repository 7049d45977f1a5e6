"""Paths of all results, relative to the folder of results.

The rules of the workflow and the declarations of figures both take their paths from here.
"""

from __future__ import annotations

PROTOCOLS = "protocols.nc"
"""File with the claims of Fig. 3 to 5 under each protocol."""


KNOWN_LOSSES = "flow/known_losses.nc"
"""File that compares flows with gradient descent on losses that are known in closed form."""


def flows(study: str) -> str:
    """Return the file that compares flows with gradient descent in a study, by its key under `flows`."""
    return f"flows/{study}.nc"


def threshold(study: str, reading: str | None = None) -> str:
    """Return the file with the power law of a threshold study.

    Args:
        study: key of the study under `threshold`.
        reading: key under `readings` of the settings by which instabilities are found; None: the settings
            `instabilities`.
    """
    return f"threshold/{_read_as(reading)}{study}.nc"


def dataset(name: str) -> str:
    """Return the file of a training and validation set, by its key under `datasets`."""
    return f"dataset/{name}.nc"


def phase(study: str) -> str:
    """Return the file of a phase diagram, by its key under `phase`."""
    return f"phase/{study}.nc"


def phase_block(study: str, block: str) -> str:
    """Return the file of a block of runs of a phase diagram; `block` is `grid.Block.name`."""
    return f"phase/{study}/{block}.nc"


def lazy(study: str) -> str:
    """Return the file of a grid of gradient flows, by its key under `lazy`."""
    return f"lazy/{study}.nc"


def lazy_block(study: str, block: str) -> str:
    """Return the file of a block of a grid of gradient flows; `block` is `grid.LazyBlock.name`."""
    return f"lazy/{study}/{block}.nc"


def trajectory(run: str) -> str:
    """Return the file of a run; `grid.trajectory_run` and `grid.threshold_run` make its name."""
    return f"trajectory/{run}.nc"


def spectrum(run: str) -> str:
    """Return the file with the curvature along a run."""
    return f"spectrum/{run}.nc"


def instabilities(run: str, reading: str | None = None) -> str:
    """Return the file with the instabilities found along a run; see `threshold` for `reading`."""
    return f"instabilities/{_read_as(reading)}{run}.nc"


def runs(study: str) -> str:
    """Return the file with all runs of a study at their snapshots, by its key under `trajectories`."""
    return f"runs/{study}.nc"


def _read_as(reading: str | None) -> str:
    return "" if reading is None else f"{reading}/"
