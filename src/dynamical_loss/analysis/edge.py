"""Behaviour of a run at the edge of stability, in numbers per run (Fig. F5, F9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from dynamical_loss.analysis.records import Booleans, Floats

if TYPE_CHECKING:
    import xarray as xr

    from dynamical_loss.results import netcdf

PREDICTORS = ("sharpness", "principal", "quadratic")
"""Predictors of whether a step raises the weighted loss.  ``sharpness``: λ_max > 2/η.  ``principal``: the sum
of the principal flow's rates of change over the measured eigenvectors is positive.  ``quadratic``: the sum of
the quadratic model's changes over the measured eigenvectors is positive."""

MEASURES = {
    "rise_share": "share of steps that raise the weighted loss",
    "top_gradient_share": "squared cosine of gradient and first eigenvector, mean over steps",
    "random_gradient_share": "squared cosine of a class's gradient and a random direction, mean over steps",
    "top_overlap": "squared cosine of the first eigenvector with that one step before, mean over steps",
    "effective_units": "hidden units that the first eigenvector is spread over, mean over steps",
    "emphasised_share": "share of the largest eigenvalue that the class with the largest Γ adds, mean over "
    "steps",
    "emphasised_per_weight": "ln of what that class adds to it per unit of Γ, over what the others add per "
    "unit of theirs, mean over steps",
}
"""Names and descriptions of the numbers per run."""

_REFERENCE = "Fig. F5, F9"


def stretch(spectrum: xr.Dataset) -> xr.Dataset:
    """Return the snapshots of a probed run that are one step away from another snapshot.

    Args:
        spectrum: spectra of a run that was probed with `alignment`.
    """
    steps = spectrum["snapshot_step"].values
    near = np.diff(steps) == 1
    return spectrum.isel(snapshot_step=np.append(near, False) | np.append(False, near))


def rises(spectrum: xr.Dataset) -> Bool[Booleans, " snapshot"]:
    """Return whether the step taken at each snapshot raises the weighted loss at constant Γ, (snapshot,)."""
    found: Booleans = spectrum["step_change"].sel(step_kind="own").values > 0
    return found


def foretold(spectrum: xr.Dataset, predictor: str) -> Bool[Booleans, " snapshot"]:
    """Return whether one of `PREDICTORS` predicts that the step at each snapshot raises the weighted loss.

    Args:
        spectrum: spectra of a run that was probed with `alignment`.
        predictor: one of `PREDICTORS`.

    Returns:
        predictions, (snapshot,).
    """
    if predictor == "sharpness":
        multiple = spectrum["hessian_eigenvalue"].isel(mode=0) * spectrum["learning_rate"]
        found: Booleans = multiple.values > 2
        return found
    name = {"principal": "principal_rate", "quadratic": "quadratic_change"}[predictor]
    summed: Booleans = spectrum[name].sum("mode").values > 0
    return summed


def emphasised(spectrum: xr.Dataset) -> tuple[Float[Floats, " snapshot"], Float[Floats, " snapshot"]]:
    """Compute the contribution of the class with the largest Γ to the largest eigenvalue.

    Args:
        spectrum: spectra of a run that was probed with `alignment`.

    Returns:
        share of the class in the eigenvalue, (snapshot,), and the natural logarithm of a ratio, (snapshot,):
        the contribution of the class per unit of Γ, divided by the contribution of all other classes per unit
        of Γ.  Both are NaN if all Γ are equal.
    """
    weight, added = spectrum["class_weight"].values, spectrum["class_sharpness"].values
    chosen = np.eye(weight.shape[1], dtype=bool)[weight.argmax(axis=1)]
    own, others = added[chosen], np.where(chosen, 0.0, added).sum(axis=1)
    own_weight, other_weight = weight[chosen], np.where(chosen, 0.0, weight).sum(axis=1)
    tilted = np.ptp(weight, axis=1) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log((own / own_weight) / (others / other_weight))
        share = own / (own + others)
    return np.where(tilted, share, np.nan), np.where(tilted, ratio, np.nan)


def measures(spectrum: xr.Dataset) -> dict[str, float]:
    """Compute `MEASURES` of one run from its snapshots at consecutive steps."""
    near = _known(spectrum)
    share, per_weight = emphasised(near)
    steps = near["snapshot_step"].values
    follows = np.diff(steps, prepend=steps[:1]) == 1
    units = near["effective_units"].values if "effective_units" in near else np.full(1, np.nan)
    found = {
        "rise_share": rises(near),
        "top_gradient_share": near["gradient_share"].isel(mode=0).values,
        "random_gradient_share": near["class_random_share"].values,
        "top_overlap": near["eigenvector_overlap"].values[follows],
        "effective_units": units,
        "emphasised_share": share,
        "emphasised_per_weight": per_weight,
    }
    return {name: mean_of_known(values) for name, values in found.items()}


def add_measures(variables: netcdf.Variables, spectra: Sequence[xr.Dataset]) -> None:
    """Add `MEASURES` of each run, and the share of steps at which each of `PREDICTORS` is right.

    Args:
        variables: variables of a file with the dimension ``seed``.
        spectra: spectra of one run for each seed, probed with `alignment`.
    """
    add_each(variables, MEASURES, [measures(spectrum) for spectrum in spectra], _REFERENCE)
    variables.add("predictor", ("predictor",), list(PREDICTORS), "what foretells", reference=_REFERENCE)
    near = [_known(spectrum) for spectrum in spectra]
    right = [[mean_of_known(foretold(run, name) == rises(run)) for name in PREDICTORS] for run in near]
    variables.add(
        "rise_agreement",
        ("seed", "predictor"),
        right,
        "share of steps of which it says rightly whether they raise the weighted loss",
        reference="arXiv 2302.01952, Fig. F5",
    )


def add_each(
    variables: netcdf.Variables, words: dict[str, str], runs: Sequence[dict[str, float]], reference: str
) -> None:
    """Add numbers per run as variables over the dimension ``seed``.

    Args:
        variables: variables of a file with the dimension ``seed``.
        words: descriptions of the numbers by their names.
        runs: numbers of each run by their names.
        reference: the paper's section or figure that shows the numbers.
    """
    for name, text in words.items():
        variables.add(name, ("seed",), [run[name] for run in runs], text, reference=reference)


def of_known(near: xr.Dataset, change: Float[Floats, " snapshot"]) -> xr.Dataset:
    """Return the snapshots at which the change of the loss is finite; in a diverged run it is not."""
    return near.isel(snapshot_step=np.isfinite(change))


def _known(spectrum: xr.Dataset) -> xr.Dataset:
    """Return the snapshots at consecutive steps at which the change of the loss is finite."""
    near = stretch(spectrum)
    return of_known(near, near["step_change"].sel(step_kind="own").values)


def mean_of_known(values: npt.ArrayLike) -> float:
    """Return the mean of the finite values; NaN if there are none."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else float("nan")
