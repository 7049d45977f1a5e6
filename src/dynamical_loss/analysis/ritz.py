"""Ritz values, and which of them are eigenvalues."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from dynamical_loss.analysis.records import Floats

if TYPE_CHECKING:
    import xarray as xr

SHARPNESS, RESIDUAL = "sharpness", "sharpness_residual"
"""In files of gathered runs: λ_max of the weighted loss, and how far it is from an eigenvalue."""

_TOLERANCE = 0.01  # of an eigenvalue, relative


def converged(values: ArrayLike, residuals: ArrayLike) -> Floats:
    """Ritz values that are eigenvalues to a per cent, NaN elsewhere.

    Args:
        values: any shape.
        residuals: |Hv − θv| of each, same shape; an eigenvalue lies within it of the Ritz value θ.
    """
    array = np.asarray(values, dtype=float)
    return np.where(np.asarray(residuals) <= _TOLERANCE * np.abs(array), array, math.nan)


def sharpness(item: xr.Dataset) -> xr.DataArray:
    """λ_max of gathered runs over (seed, snapshot_step); NaN where Lanczos has not converged."""
    return item[SHARPNESS].copy(data=converged(item[SHARPNESS], item[RESIDUAL]))
