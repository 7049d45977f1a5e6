"""Ensembles of networks, and power laws in the scale s = √h·α (arXiv 1906.08034)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def output_variance(outputs: Floats) -> Floats:
    """Variance of the prediction over initial seeds, mean over test samples (Eq. 16).

    Args:
        outputs: F, (…, seed, sample).

    Returns:
        (…); NaN of fewer than two seeds.
    """
    if outputs.shape[-2] < 2:
        return np.full(outputs.shape[:-2], np.nan)
    return np.asarray(np.var(outputs, axis=-2, ddof=1).mean(axis=-1))


def ensemble_error(outputs: Floats, labels: Floats) -> Floats:
    """Test error of the mean prediction over initial seeds (Eq. 15).

    Args:
        outputs: F, (…, seed, sample).
        labels: y = ±1, (sample,).

    Returns:
        (…), fractions of 1.
    """
    return np.asarray((outputs.mean(axis=-2) * labels <= 0).mean(axis=-1))


def power(scales: npt.ArrayLike, values: npt.ArrayLike, low: float, high: float) -> Floats:
    """Exponent of a power law values ~ scalesᵃ, by least squares of the logarithms.

    Args:
        scales: (scale,).
        values: (…, scale), positive.
        low: the fit begins at this scale.
        high: the fit ends at this scale.

    Returns:
        (…); NaN where fewer than two scales lie between, or a value there is not positive.
    """
    places = np.asarray(scales, dtype=np.float64)
    inside = (places >= low * (1 - 1e-9)) & (places <= high * (1 + 1e-9))
    given = np.asarray(values, dtype=np.float64)[..., inside]
    if inside.sum() < 2:
        return np.full(given.shape[:-1], np.nan)
    along = np.log(places[inside]) - np.log(places[inside]).mean()
    logarithms = np.log(np.where(given > 0, given, np.nan))
    return np.asarray((logarithms * along).sum(axis=-1) / (along**2).sum())


def crossing(scales: npt.ArrayLike, values: npt.ArrayLike, level: float = 1.0) -> Floats:
    """The scale at which falling values pass a level, on straight lines between logarithms.

    At `level` = 1 of the kernel's relative change this is where feature and lazy training meet.

    Args:
        scales: (scale,), ascending.
        values: (…, scale); those that are not positive are no values.
        level: that is passed.

    Returns:
        (…), of the last passage from above; NaN where there is none.
    """
    places = np.log(np.asarray(scales, dtype=np.float64))
    positive = np.asarray(values, dtype=np.float64)
    if len(places) < 2:
        return np.full(positive.shape[:-1], np.nan)
    # A change of nothing at all is no place on a logarithmic axis.
    given = np.log(np.where(positive > 0, positive, np.nan)) - math.log(level)
    falls = (given[..., :-1] >= 0) & (given[..., 1:] < 0)
    last = falls.shape[-1] - 1 - np.argmax(falls[..., ::-1], axis=-1)

    def at(index: npt.NDArray[np.intp], of: Floats) -> Floats:
        return np.asarray(np.take_along_axis(of, index[..., None], axis=-1)[..., 0])

    before, after = at(last, given), at(last + 1, given)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = places[last] + (places[last + 1] - places[last]) * before / (before - after)
    return np.asarray(np.where(falls.any(axis=-1), np.exp(found), np.nan))


def pseudo_values(whole: npt.ArrayLike, without: npt.ArrayLike) -> Floats:
    """One value a seed: their scatter is the jackknife's, their mean the statistic of all seeds itself.

    The jackknife's own values have the statistic without its bias as their mean. For the gain of an ensemble
    that would be the gain of an infinite one.

    Args:
        whole: the statistic of all n seeds, (…).
        without: the same without each seed, (…, seed).

    Returns:
        whole + (n − 1)·(mean of without − without), (…, seed).
    """
    left = np.asarray(without, dtype=np.float64)
    scatter = (left.shape[-1] - 1) * (left.mean(axis=-1, keepdims=True) - left)
    return np.asarray(np.asarray(whole, dtype=np.float64)[..., None] + scatter)
