"""95 % intervals that hold for the few seeds that a study can afford: Student's and the bootstrap's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# SciPy is imported where it is used: it takes long to import, and declaring a figure needs no interval.


def student_interval(values: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Mean along the last axis and half its 95 % interval by Student's t.

    Values that are not finite are left out, each from its own mean alone.

    Args:
        values: shape (…, n), one independent value a seed.

    Returns:
        (mean, half the interval), both of shape (…); NaN where no value is known, and for the interval
        also where only one is.
    """
    from scipy import stats

    given = np.asarray(values, dtype=np.float64)
    known = np.isfinite(given)
    n = known.sum(axis=-1)
    mean = np.where(known, given, 0.0).sum(axis=-1) / np.where(n > 0, n, math.nan)
    freedom = np.where(n > 1, n - 1, math.nan)
    squares = np.where(known, given - mean[..., None], 0.0) ** 2
    error = np.sqrt(squares.sum(axis=-1) / freedom / np.where(n > 1, n, math.nan))
    return mean, np.asarray(stats.t.ppf(0.975, freedom) * error)


def widening(n: int, freedom: int) -> float:
    """What deviations of resampled values from their mean are multiplied with, for small n.

    Resampling n values understates the variance of their mean by (n − 1)/n and knows nothing of the
    error of that variance.  Both are mended as in Hesterberg's expanded percentile interval
    (The American Statistician 69, 371, 2015): by √(n/(n−1)) and by the ratio of Student's to the
    normal quantile.  With 3 values this is a factor 2.7, with 50 it is 1.04.

    Args:
        n: values that are resampled, at least 2.
        freedom: degrees of freedom of their variance: n − 1, or more where it is pooled.
    """
    from scipy import stats

    student = float(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975))
    return student * math.sqrt(n / (n - 1))


def student_factor(n: int) -> float:
    """Half the 95 % interval of the mean of n values, over their standard deviation; n at least 2."""
    from scipy import stats

    return float(stats.t.ppf(0.975, n - 1)) / math.sqrt(n)


def bootstrap_deviations(values: Floats, *, resamples: int, seed: int | Sequence[int]) -> Floats:
    """Deviations of resampled means from the mean, widened for small n; see `widening`.

    Args:
        values: shape (n,), n at least 2, all finite.
        resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        shape (resamples,), in the units of `values`.
    """
    n = values.size
    draws = np.random.default_rng(seed).choice(values, (resamples, n)).mean(axis=1)
    return np.asarray(widening(n, n - 1) * (draws - values.mean()))


def bootstrap_interval(
    values: npt.ArrayLike, *, resamples: int = 2000, seed: int | Sequence[int] = 0
) -> tuple[float, float]:
    """95 % interval of the mean, values that are not finite left out.

    Args:
        values: one independent value a seed or run, any shape.
        resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        (lower, upper); NaNs if fewer than two values are known.
    """
    known = np.asarray(values, dtype=np.float64).ravel()
    known = known[np.isfinite(known)]
    if known.size < 2:
        return math.nan, math.nan
    ends = np.quantile(bootstrap_deviations(known, resamples=resamples, seed=seed), [0.025, 0.975])
    return float(known.mean() + ends[0]), float(known.mean() + ends[1])
