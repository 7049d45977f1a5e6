"""Cells of a phase diagram: the runs of one cell, the gain over all cells, and the best cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]


def runs_of_cell(
    item: xr.Dataset, variable: str, period: int | None, amplitude: float
) -> xr.DataArray | None:
    """Return a variable of the runs of one cell, over (seed, …).

    Args:
        item: phase diagram.
        variable: name of a variable over (period, amplitude, seed, …).
        period: period T in steps; None for the static loss, which has no period.
        amplitude: amplitude A.

    Returns:
        the variable; None if the diagram lacks the variable or the cell.
    """
    if variable not in item or amplitude not in item["amplitude"].values:
        return None
    if period is not None and period not in item["period"].values:
        return None
    # The static loss has no period, so the diagram holds the same static runs at every period.
    chosen = item[variable].sel(amplitude=amplitude, drop=True)
    return chosen.isel(period=0, drop=True) if period is None else chosen.sel(period=period, drop=True)


def gain(accuracy: xr.DataArray) -> Float[Floats, "*run"]:
    """Return how much more accurate runs are with the dynamical loss than with the static loss.

    Args:
        accuracy: accuracies over (period, amplitude, seed), with a first dimension if there are several draws
            of the data. The grid must hold A = 1 and a larger amplitude.

    Returns:
        mean over the cells with A > 1 minus the accuracy at A = 1, of shape (seed,) or (draw, seed); NaN if
        the accuracy of a cell is NaN.
    """
    dynamical = _dynamical(accuracy).mean(("period", "amplitude"), skipna=False)
    return np.asarray((dynamical - _static(accuracy)).values, dtype=np.float64)


def _dynamical(accuracy: xr.DataArray) -> xr.DataArray:
    return accuracy.where(accuracy["amplitude"] > 1.0, drop=True)


def _static(accuracy: xr.DataArray) -> xr.DataArray:
    # The static loss has no period, so the diagram holds the same static runs at every period.
    return accuracy.sel(amplitude=1.0, drop=True).isel(period=0, drop=True)


def best_cell(
    accuracy: xr.DataArray,
) -> tuple[Float[Floats, "*draw odd_seed"], Float[Floats, "*draw odd_seed"]]:
    """Choose the cell with A > 1 that is best on the even seeds, and return its accuracies on the odd seeds.

    The runs that choose the cell do not measure its accuracy. The best of many noisy cells therefore gains
    nothing from chance.

    Args:
        accuracy: accuracies over (period, amplitude, seed), with a first dimension if there are several draws
            of the data. The grid must hold A = 1, a larger amplitude, and at least two seeds.

    Returns:
        accuracies of the best cell, and those of the static loss (A = 1), both of shape (odd seed,) or
        (draw, odd seed).
    """
    odd = slice(1, None, 2)
    dynamical = _dynamical(accuracy)
    runs = [name for name in dynamical.dims if name not in ("period", "amplitude")]
    best = dynamical.isel(seed=slice(0, None, 2)).mean(runs).argmax(("period", "amplitude"))
    pair = dynamical.isel(best), _static(accuracy)
    found = (np.asarray(cell.values[..., odd], dtype=np.float64) for cell in pair)
    dynamical_values, static_values = found
    return dynamical_values, static_values
