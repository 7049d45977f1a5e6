"""Ritz values, and whether they have converged to eigenvalues."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from dynamical_loss.analysis.records import Floats

if TYPE_CHECKING:
    import xarray as xr

SHARPNESS, RESIDUAL = "sharpness", "sharpness_residual"
"""Variables in files of gathered runs: λ_max of the weighted loss, and the bound of its distance to an
eigenvalue."""

_TOLERANCE = 0.01  # largest residual of a converged Ritz value, relative to the Ritz value


def converged(values: ArrayLike, residuals: ArrayLike) -> Float[Floats, " ..."]:
    """Return the Ritz values that agree with an eigenvalue to one per cent; all others are replaced by NaN.

    Args:
        values: Ritz values θ, any shape.
        residuals: residual |Hv − θv| of each Ritz value, of the same shape; an eigenvalue lies within this
            distance of θ.
    """
    array = np.asarray(values, dtype=float)
    return np.where(np.asarray(residuals) <= _TOLERANCE * np.abs(array), array, math.nan)


def sharpness(item: xr.Dataset) -> xr.DataArray:
    """Return λ_max of gathered runs over (seed, snapshot_step); NaN if Lanczos has not converged."""
    return item[SHARPNESS].copy(data=converged(item[SHARPNESS], item[RESIDUAL]))
