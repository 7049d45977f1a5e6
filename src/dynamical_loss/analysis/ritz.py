"""Ritz values at the snapshots of a run, and whether they have converged to eigenvalues."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from numpy.typing import ArrayLike

from dynamical_loss.analysis.records import Floats
from dynamical_loss.results import recorded

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


def regular_snapshots(spectrum: xr.Dataset, variable: str) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the steps of the regular snapshots and the largest eigenvalue at these steps, both (snapshot,).

    The dense windows are left out, because a result would depend on where they are placed.  The snapshot at
    the very end of a run is left out too, because it may lie an even number of steps after the one before.
    """
    steps = spectrum["snapshot_step"].values
    regular = steps % recorded.settings_of(spectrum)["trajectory"]["snapshots"]["every"] == 0
    return steps[regular], spectrum[variable].values[regular, 0].astype(np.float64)


CONDITIONING_MODES = 5
"""Number of eigenvalues that `condition_ratio` needs."""


def condition_ratio(spectrum: xr.Dataset) -> xr.DataArray:
    """Return λ₁/λ₅ of the weighted loss, (snapshot_step,) (Fig. S10b).

    It is NaN where the ratio is not positive, and where Lanczos has not converged to one of the two.

    Args:
        spectrum: spectrum of the Hessian along a run with at least `CONDITIONING_MODES` eigenvalues.
    """
    values = spectrum["hessian_eigenvalue"]
    values = values.copy(data=converged(values, spectrum["hessian_residual"]))
    ratio = values.isel(mode=0) / values.isel(mode=CONDITIONING_MODES - 1)
    return ratio.where(ratio > 0)
