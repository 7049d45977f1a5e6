"""Accuracies over the (T, A) plane: of the static loss, of a cell, of a region, of the best cell.

Every `accuracy` has the dimensions (period, amplitude, seed) with their coordinates, and before them
(noise_seed) where there are several draws of the data.  What is found has the shape (seed,), or
(noise_seed, seed).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.analysis.cells import best_cell as best_of
from dynamical_loss.claims.evidence import UntestedError
from dynamical_loss.notation import exact

Floats = npt.NDArray[np.float64]

ACCURACY = (0.0, 1.0)
"""Bounds of an accuracy."""


def static_accuracy(accuracy: xr.DataArray) -> Floats:
    """Accuracy at A = 1."""
    static = accuracy.where(accuracy["amplitude"] == 1.0, drop=True)
    if static.size == 0:
        raise UntestedError("no A = 1 in the grid")
    # The static loss has no period: every one of them holds the same runs.
    return np.asarray(static.isel(amplitude=0, period=0).values, dtype=np.float64)


SHORTEST_PERIOD = 20
"""Steps: where a region of short periods begins, for `COVERED`.  The paper gives no lower limit."""

COVERED = "with values of A and of T in both halves of its logarithmic width (T from 20)"
"""What a grid must have in a region to stand for it, as part of a sentence."""


def region_accuracy(accuracy: xr.DataArray, amplitudes: tuple[float, float], longest_period: float) -> Floats:
    """`mean_accuracy` of a region that the grid covers: one cell, or one end, does not stand for it.

    `UntestedError` if it does not; see `COVERED`.
    """
    mean = mean_accuracy(accuracy, amplitudes, longest_period)
    for name, (low, high) in (("amplitude", amplitudes), ("period", (SHORTEST_PERIOD, longest_period))):
        values = accuracy[name].values.astype(np.float64)
        inside = values[(values <= high) & ((values >= low) | (name == "period"))]
        middle = math.sqrt(low * high)
        if inside.min() > middle or inside.max() < middle or len(inside) < 2:
            found = ", ".join(map(exact, sorted(inside.tolist())))
            words = f"{exact(low)} <= {name} <= {exact(high)}"
            raise UntestedError(f"the grid does not cover the region {words}, with {found} alone")
    return mean


def mean_accuracy(accuracy: xr.DataArray, amplitudes: tuple[float, float], longest_period: float) -> Floats:
    """Accuracy averaged over the cells of the grid in a region.

    All cells count alike: picking the best of them would make noise look like an improvement.

    Args:
        accuracy: of all cells.
        amplitudes: smallest and largest A of the region.
        longest_period: longest T, steps.
    """
    low, high = amplitudes
    inside = (accuracy["amplitude"] >= low) & (accuracy["amplitude"] <= high)
    cells = accuracy.where(inside, drop=True)
    cells = cells.where(accuracy["period"] <= longest_period, drop=True)
    region = f"with {exact(low)} <= A <= {exact(high)}, T <= {exact(longest_period)} in the grid"
    if cells.size == 0:
        raise UntestedError(f"no cell {region}")
    mean = cells.mean(("period", "amplitude"), skipna=False)
    return np.asarray(mean.values, dtype=np.float64)


def cell_accuracy(accuracy: xr.DataArray, period: int, amplitude: float) -> Floats:
    """Accuracy of one cell."""
    if period not in accuracy["period"].values or amplitude not in accuracy["amplitude"].values:
        raise UntestedError(f"no cell T = {period}, A = {exact(amplitude)} in the grid")
    return np.asarray(accuracy.sel(period=period, amplitude=amplitude).values, dtype=np.float64)


def dynamical_cells(accuracy: xr.DataArray) -> xr.DataArray:
    """The cells with A > 1."""
    cells = accuracy.where(accuracy["amplitude"] > 1.0, drop=True)
    if cells.size == 0:
        raise UntestedError("no cell with A > 1 in the grid")
    return cells


def best_cell(accuracy: xr.DataArray) -> tuple[Floats, Floats]:
    """See `analysis.cells.best_cell`; `UntestedError` where no cell or no seed is left."""
    dynamical_cells(accuracy)
    static_accuracy(accuracy)
    if accuracy.sizes["seed"] < 2:
        raise UntestedError("a single seed cannot both choose a cell and measure it")
    return best_of(accuracy)
