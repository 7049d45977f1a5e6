"""Accuracies over the (T, A) plane: of the static loss, of a cell, of a region, of the best cell.

Every `accuracy` has the dimensions (period, amplitude, seed) with their coordinates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.claims.evidence import UntestedError
from dynamical_loss.notation import exact

Floats = npt.NDArray[np.float64]

ACCURACY = (0.0, 1.0)
"""Bounds of an accuracy."""


def static_accuracy(accuracy: xr.DataArray) -> Floats:
    """Accuracy at A = 1, shape (seed,)."""
    static = accuracy.where(accuracy["amplitude"] == 1.0, drop=True)
    if static.size == 0:
        raise UntestedError("no A = 1 in the grid")
    # The static loss has no period: every one of them holds the same runs.
    return np.asarray(static.isel(amplitude=0, period=0).values, dtype=np.float64)


def mean_accuracy(
    accuracy: xr.DataArray, amplitudes: tuple[float, float], longest_period: float, fewest_cells: int = 1
) -> Floats:
    """Accuracy averaged over the cells of the grid in a region, shape (seed,).

    All cells count alike: picking the best of them would make noise look like an improvement.

    Args:
        accuracy: of all cells.
        amplitudes: smallest and largest A of the region.
        longest_period: longest T, steps.
        fewest_cells: that may stand for the region; `UntestedError` if the grid has fewer.
    """
    low, high = amplitudes
    inside = (accuracy["amplitude"] >= low) & (accuracy["amplitude"] <= high)
    cells = accuracy.where(inside, drop=True)
    cells = cells.where(accuracy["period"] <= longest_period, drop=True)
    count = cells.sizes["period"] * cells.sizes["amplitude"]
    region = f"with {exact(low)} <= A <= {exact(high)}, T <= {exact(longest_period)} in the grid"
    if count == 0:
        raise UntestedError(f"no cell {region}")
    if count < fewest_cells:
        raise UntestedError(f"cells {region}: {count}, fewer than {fewest_cells}")
    mean = cells.mean(("period", "amplitude"), skipna=False)
    return np.asarray(mean.values, dtype=np.float64)


def cell_accuracy(accuracy: xr.DataArray, period: int, amplitude: float) -> Floats:
    """Accuracy of one cell, shape (seed,)."""
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
    """The cell with A > 1 that is best on the even seeds, on the odd ones: (accuracy, that at A = 1).

    Seeds that choose do not measure, so the best of many noisy cells gains nothing from its luck.
    """
    cells = dynamical_cells(accuracy)
    if cells.sizes["seed"] < 2:
        raise UntestedError("a single seed cannot both choose a cell and measure it")
    choosing = cells.isel(seed=slice(0, None, 2)).mean("seed")
    best = choosing.argmax(("period", "amplitude"))
    odd = slice(1, None, 2)
    found = np.asarray(cells.isel(best).values[odd], dtype=np.float64)
    return found, static_accuracy(accuracy)[odd]
