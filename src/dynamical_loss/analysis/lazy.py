"""Ensembles of networks, and power laws in the scale s = √h·α (arXiv 1906.08034)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int, Num

Floats = npt.NDArray[np.float64]


def output_variance(outputs: Float[Floats, "*batch seed sample"]) -> Float[Floats, "*batch"]:
    """Compute the variance of the prediction over initial seeds, averaged over test samples (Eq. 16).

    Args:
        outputs: predictions F, (…, seed, sample).

    Returns:
        variances, (…); NaN if there are fewer than two seeds.
    """
    if outputs.shape[-2] < 2:
        return np.full(outputs.shape[:-2], np.nan)
    return np.asarray(np.var(outputs, axis=-2, ddof=1).mean(axis=-1))


def ensemble_error(
    outputs: Float[Floats, "*batch seed sample"], labels: Num[npt.NDArray[Any], " sample"]
) -> Float[Floats, "*batch"]:
    """Compute the test error of the mean prediction over initial seeds (Eq. 15).

    Args:
        outputs: predictions F, (…, seed, sample).
        labels: labels y = ±1, (sample,).

    Returns:
        fractions of samples that are classified wrongly, (…).
    """
    return np.asarray((outputs.mean(axis=-2) * labels <= 0).mean(axis=-1))


def power(scales: npt.ArrayLike, values: npt.ArrayLike, low: float, high: float) -> Float[Floats, "*batch"]:
    """Fit the exponent a of a power law, values ~ scalesᵃ, by least squares of the logarithms.

    Args:
        scales: scales, (scale,).
        values: positive values, (…, scale).
        low: smallest scale of the fit.
        high: largest scale of the fit.

    Returns:
        exponents, (…); NaN if fewer than two scales lie in the range, or if a value in the range is not
        positive.
    """
    places = np.asarray(scales, dtype=np.float64)
    inside = (places >= low * (1 - 1e-9)) & (places <= high * (1 + 1e-9))
    given = np.asarray(values, dtype=np.float64)[..., inside]
    if inside.sum() < 2:
        return np.full(given.shape[:-1], np.nan)
    along = np.log(places[inside]) - np.log(places[inside]).mean()
    logarithms = np.log(np.where(given > 0, given, np.nan))
    return np.asarray((logarithms * along).sum(axis=-1) / (along**2).sum())


def crossing(scales: npt.ArrayLike, values: npt.ArrayLike, level: float = 1.0) -> Float[Floats, "*batch"]:
    """Find the scale at which falling values cross a level, by linear interpolation of the logarithms.

    The scale at which the relative change of the kernel crosses `level` = 1 separates feature and lazy
    training.

    Args:
        scales: scales, ascending, (scale,).
        values: values, (…, scale); a value that is not positive hides the crossings beside it.
        level: level that the values cross.

    Returns:
        scales of the last crossing from above, (…); NaN if there is none.
    """
    places = np.log(np.asarray(scales, dtype=np.float64))
    positive = np.asarray(values, dtype=np.float64)
    if len(places) < 2:
        return np.full(positive.shape[:-1], np.nan)
    # A value of 0 has no place on a logarithmic axis.
    given = np.log(np.where(positive > 0, positive, np.nan)) - math.log(level)
    falls = (given[..., :-1] >= 0) & (given[..., 1:] < 0)
    last = falls.shape[-1] - 1 - np.argmax(falls[..., ::-1], axis=-1)

    def at(
        index: Int[npt.NDArray[np.intp], "*batch"] | np.intp, of: Float[Floats, "*batch scale"]
    ) -> Float[Floats, "*batch"]:
        return np.asarray(np.take_along_axis(of, np.asarray(index)[..., None], axis=-1)[..., 0])

    before, after = at(last, given), at(last + 1, given)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = places[last] + (places[last + 1] - places[last]) * before / (before - after)
    return np.asarray(np.where(falls.any(axis=-1), np.exp(found), np.nan))


def pseudo_values(whole: npt.ArrayLike, without: npt.ArrayLike) -> Float[Floats, "*batch seed"]:
    """Compute one pseudo-value for each seed, whose scatter is that of the jackknife.

    The mean of these pseudo-values is the statistic of all seeds.  The mean of the jackknife's own
    pseudo-values is the statistic with its bias removed.  For the gain of an ensemble, the latter would be
    the gain of an infinite ensemble.

    Args:
        whole: statistic of all n seeds, (…).
        without: statistic without each seed, (…, seed).

    Returns:
        whole + (n − 1)·(mean of without − without), (…, seed).
    """
    left = np.asarray(without, dtype=np.float64)
    scatter = (left.shape[-1] - 1) * (left.mean(axis=-1, keepdims=True) - left)
    return np.asarray(np.asarray(whole, dtype=np.float64)[..., None] + scatter)
