"""Cells of a phase diagram: one of them, and the best by seeds that do not measure it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]


def runs_of_cell(
    item: xr.Dataset, variable: str, period: int | None, amplitude: float
) -> xr.DataArray | None:
    """A variable of the runs of one cell, over (seed, …); None if the diagram does not have it.

    Args:
        item: a phase diagram.
        variable: over (period, amplitude, seed, …).
        period: T, steps; None for the static loss, which has none.
        amplitude: A.
    """
    if variable not in item or amplitude not in item["amplitude"].values:
        return None
    if period is not None and period not in item["period"].values:
        return None
    # The static loss has no period: every one of them holds the same runs.
    chosen = item[variable].sel(amplitude=amplitude, drop=True)
    return chosen.isel(period=0, drop=True) if period is None else chosen.sel(period=period, drop=True)


def best_cell(accuracy: xr.DataArray) -> tuple[Floats, Floats]:
    """The cell with A > 1 that is best on the even seeds, on the odd ones: (accuracy, that at A = 1).

    Seeds that choose do not measure, so the best of many noisy cells gains nothing from its luck.

    Args:
        accuracy: over (period, amplitude, seed), and a first dimension where there are several draws of the
            data; A = 1 and a cell above it are in the grid, and two seeds or more.

    Returns:
        both of shape (odd seed,), or (draw, odd seed).
    """
    odd = slice(1, None, 2)
    dynamical = accuracy.where(accuracy["amplitude"] > 1.0, drop=True)
    runs = [name for name in dynamical.dims if name not in ("period", "amplitude")]
    best = dynamical.isel(seed=slice(0, None, 2)).mean(runs).argmax(("period", "amplitude"))
    # The static loss has no period: every one of them holds the same runs.
    static = accuracy.sel(amplitude=1.0).isel(period=0)
    found = (np.asarray(cell.values[..., odd], dtype=np.float64) for cell in (dynamical.isel(best), static))
    dynamical_values, static_values = found
    return dynamical_values, static_values
