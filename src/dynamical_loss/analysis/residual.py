"""Change of the residual of the squared error along a run, in numbers per run (section III.4, Fig. F10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from dynamical_loss.analysis.edge import add_each, mean_of_known, of_known, stretch
from dynamical_loss.analysis.records import Booleans, Floats

if TYPE_CHECKING:
    import xarray as xr

    from dynamical_loss.results import netcdf

MEASURES = {
    "top_multiple": "η/N times the largest eigenvalue of the kernel, weighted by Γ, mean over steps",
    "unweighted_multiple": "η/N times the largest eigenvalue of the kernel without Γ, mean over steps",
    "alternating_modes": "modes of the residual that alternate, mean over steps",
    "unstable_modes": "modes of the residual that are unstable, mean over steps",
    "raising_share": "share of steps that raise the loss",
    "kernel_raising_share": "share of steps that would raise the loss if the kernel stayed during the step",
    "instability_agreement": "share of steps that raise the loss if, and only if, a mode is unstable",
}
"""Names and descriptions of the numbers per run."""

_REFERENCE = "section III.4, Fig. F10"


def counts(spectrum: xr.Dataset) -> tuple[Float[Floats, " snapshot"], Float[Floats, " snapshot"]]:
    """Count the modes that alternate (1 < x ≤ 2) and the modes that are unstable (x > 2) at each snapshot.

    Args:
        spectrum: spectra of a run that was probed with `residual`.

    Returns:
        numbers of alternating and of unstable modes, each (snapshot,). Both are NaN if all measured modes
        have x > 1, because further modes that were not measured may have x > 1 too.
    """
    multiple = spectrum["kernel_multiple"].transpose("snapshot_step", "mode").values
    # The file pads the modes of the kernel with NaN.
    known = np.nanmin(np.where(np.isfinite(multiple), multiple, np.inf), axis=1) < 1
    alternating = ((multiple > 1) & (multiple <= 2)).sum(axis=1)
    unstable = (multiple > 2).sum(axis=1)
    return np.where(known, alternating, np.nan), np.where(known, unstable, np.nan)


def agrees(spectrum: xr.Dataset) -> Bool[Booleans, " snapshot"]:
    """Return whether the step at each snapshot raises the loss if, and only if, a mode is unstable there."""
    unstable = spectrum["kernel_multiple"].isel(mode=0).values > 2
    found: Booleans = unstable == (spectrum["residual_change"].values > 0)
    return found


def errors_by_age(spectrum: xr.Dataset) -> tuple[Float[Floats, " age"], Float[Floats, "age kernel"]]:
    """Average the errors of the residuals that the kernels predict, after 1, 2, … steps.

    Args:
        spectrum: spectra of a run that was probed with `residual`.

    Returns:
        number of steps since the restart of the prediction, (age,), and the geometric mean of the errors over
        all restarts, (age, kernel).
    """
    near = _known(spectrum)
    age = near["kernel_age"].values
    error = near["kernel_error"].transpose("snapshot_step", "kernel").values
    ages = np.unique(age[age > 0])
    with np.errstate(divide="ignore"):
        found = [[_geometric_mean(values) for values in error[age == each].T] for each in ages]
    return ages.astype(float), np.array(found).reshape(len(ages), error.shape[1])


def add_measures(variables: netcdf.Variables, spectra: Sequence[xr.Dataset]) -> None:
    """Add `MEASURES` of each run, and the errors of the residuals that the kernels predict.

    Args:
        variables: variables of a file with the dimension ``seed``.
        spectra: spectra of one run for each seed, probed with `residual`.
    """
    add_each(variables, MEASURES, [_measures(spectrum) for spectrum in spectra], _REFERENCE)
    kernels = spectra[0]["kernel"].values.tolist()
    variables.add("kernel", ("kernel",), kernels, "kernel that the residual is led by", reference=_REFERENCE)
    each = [errors_by_age(spectrum) for spectrum in spectra]
    # A run that diverged has finite values for fewer steps.
    ages = max((found[0] for found in each), key=len)
    variables.add(
        "kernel_age",
        ("kernel_age",),
        ages,
        "steps since the residual was that of the run",
        reference=_REFERENCE,
    )
    errors = np.full((len(each), len(ages), len(kernels)), np.nan)
    for row, (known, found) in zip(errors, each, strict=True):
        row[: len(known)] = found
    variables.add(
        "kernel_error",
        ("seed", "kernel_age", "kernel"),
        errors,
        "distance of the residual that a kernel leads to from the run's, over the farthest that this went, "
        "geometric mean over starts",
        reference=_REFERENCE,
    )


def _geometric_mean(values: Float[Floats, " restart"]) -> float:
    """Return the geometric mean of the finite values; a residual that did not move has no error."""
    return float(np.exp(mean_of_known(np.log(values))))


def _measures(spectrum: xr.Dataset) -> dict[str, float]:
    """Compute `MEASURES` of one run from its snapshots at consecutive steps."""
    near = _known(spectrum)
    alternating, unstable = counts(near)
    found = {
        "top_multiple": near["kernel_multiple"].isel(mode=0).values,
        "unweighted_multiple": near["unweighted_multiple"].values,
        "alternating_modes": alternating,
        "unstable_modes": unstable,
        "raising_share": near["residual_change"].values > 0,
        "kernel_raising_share": near["kernel_change"].values > 0,
        "instability_agreement": agrees(near),
    }
    return {name: mean_of_known(values) for name, values in found.items()}


def _known(spectrum: xr.Dataset) -> xr.Dataset:
    """Return the snapshots at consecutive steps at which the change of the loss is finite."""
    near = stretch(spectrum)
    return of_known(near, near["residual_change"].values)
