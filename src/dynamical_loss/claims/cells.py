"""Accuracies over the (T, A) plane: with the static loss, in one cell, in a region, and in the best cell.

Every argument `accuracy` has the dimensions (period, amplitude, seed) and their coordinates.  If there are
several draws of the data, the dimension noise_seed comes before these.  Returned accuracies have the shape
(seed,) or (noise_seed, seed).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.analysis.cells import best_cell as best_of
from dynamical_loss.analysis.cells import gain as gain_of
from dynamical_loss.claims.evidence import UntestedError
from dynamical_loss.notation import exact

Floats = npt.NDArray[np.float64]

Key = TypeVar("Key")

ACCURACY = (0.0, 1.0)
"""Smallest and largest possible accuracy."""


def static_accuracy(accuracy: xr.DataArray) -> Floats:
    """Return the accuracy at A = 1.  Raises `UntestedError` if the grid has no A = 1."""
    static = accuracy.where(accuracy["amplitude"] == 1.0, drop=True)
    if static.size == 0:
        raise UntestedError("the grid has no A = 1")
    # The static loss has no period, so the grid holds the same runs at every T.
    return np.asarray(static.isel(amplitude=0, period=0).values, dtype=np.float64)


def with_common_seeds(studies: Mapping[Key, xr.Dataset]) -> dict[Key, xr.Dataset]:
    """Return the studies with the seeds that all of them have, in the same order.

    Raises:
        UntestedError: if they have no seed in common.
    """
    others = {str(name) for item in studies.values() for name in item.dims} - {"seed"}
    aligned = xr.align(*studies.values(), join="inner", exclude=others)
    if any(item.sizes["seed"] == 0 for item in aligned):
        raise UntestedError("the studies have no seed in common")
    return dict(zip(studies, aligned, strict=True))


SHORTEST_PERIOD = 20
"""Shortest T, in steps, that counts as the lower end of a region for `COVERED`; the paper gives none."""

COVERED = "with values of A and of T in both halves of its logarithmic width (T from 20)"
"""Condition under which a grid covers a region, as part of a sentence."""


def region_accuracy(accuracy: xr.DataArray, amplitudes: tuple[float, float], longest_period: float) -> Floats:
    """Return `mean_accuracy` of a region that the grid covers.

    One cell, or cells at one end of the region alone, do not cover the region; see `COVERED`.

    Raises:
        UntestedError: if the grid does not cover the region.
    """
    mean = mean_accuracy(accuracy, amplitudes, longest_period)
    for name, (low, high) in (("amplitude", amplitudes), ("period", (SHORTEST_PERIOD, longest_period))):
        values = accuracy[name].values.astype(np.float64)
        inside = values[(values <= high) & ((values >= low) | (name == "period"))]
        middle = math.sqrt(low * high)
        if inside.min() > middle or inside.max() < middle or len(inside) < 2:
            found = ", ".join(map(exact, sorted(inside.tolist())))
            words = f"{exact(low)} <= {name} <= {exact(high)}"
            raise UntestedError(f"the grid does not cover the region {words}; it offers only {found}")
    return mean


def mean_accuracy(accuracy: xr.DataArray, amplitudes: tuple[float, float], longest_period: float) -> Floats:
    """Return the accuracy averaged over the grid's cells in a region.

    All cells have the same weight: choosing the best cell would make noise look like an improvement.

    Args:
        accuracy: accuracy in all cells.
        amplitudes: smallest and largest A of the region.
        longest_period: longest T of the region, in steps.

    Raises:
        UntestedError: if the grid has no cell in the region.
    """
    low, high = amplitudes
    inside = (accuracy["amplitude"] >= low) & (accuracy["amplitude"] <= high)
    cells = accuracy.where(inside, drop=True)
    cells = cells.where(accuracy["period"] <= longest_period, drop=True)
    region = f"with {exact(low)} <= A <= {exact(high)}, T <= {exact(longest_period)}"
    if cells.size == 0:
        raise UntestedError(f"the grid has no cell {region}")
    mean = cells.mean(("period", "amplitude"), skipna=False)
    return np.asarray(mean.values, dtype=np.float64)


def cell_accuracy(accuracy: xr.DataArray, period: int, amplitude: float) -> Floats:
    """Return the accuracy in one cell.  Raises `UntestedError` if the grid does not have this cell."""
    if period not in accuracy["period"].values or amplitude not in accuracy["amplitude"].values:
        raise UntestedError(f"the grid has no cell T = {period}, A = {exact(amplitude)}")
    return np.asarray(accuracy.sel(period=period, amplitude=amplitude).values, dtype=np.float64)


def dynamical_cells(accuracy: xr.DataArray) -> xr.DataArray:
    """Return the cells with A > 1.  Raises `UntestedError` if the grid has none."""
    cells = accuracy.where(accuracy["amplitude"] > 1.0, drop=True)
    if cells.size == 0:
        raise UntestedError("the grid has no cell with A > 1")
    return cells


def gain(accuracy: xr.DataArray) -> Floats:
    """Return `analysis.cells.gain` of the accuracy.  Raises `UntestedError` without A > 1 or A = 1."""
    dynamical_cells(accuracy)
    static_accuracy(accuracy)
    return gain_of(accuracy)


def best_cell(accuracy: xr.DataArray) -> tuple[Floats, Floats]:
    """Return `analysis.cells.best_cell` of the accuracy.

    Raises:
        UntestedError: if the grid has no A > 1 or no A = 1, or if there is a single seed.
    """
    dynamical_cells(accuracy)
    static_accuracy(accuracy)
    if accuracy.sizes["seed"] < 2:
        raise UntestedError("a single seed cannot both choose a cell and measure it")
    return best_of(accuracy)
