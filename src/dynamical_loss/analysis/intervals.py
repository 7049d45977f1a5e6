"""95 % intervals that are valid for the few seeds that a study can afford: Student's and the bootstrap's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

Floats = npt.NDArray[np.float64]

# SciPy takes long to import.  It is imported where it is used, because declaring a figure needs no interval.


def student_interval(values: npt.ArrayLike) -> tuple[Float[Floats, "*batch"], Float[Floats, "*batch"]]:
    """Compute the mean along the last axis, and half the width of its 95 % interval by Student's t.

    Values that are not finite are ignored.

    Args:
        values: independent values, one for each seed, (…, seed).

    Returns:
        the mean, and half the width of the interval, both of shape (…). The mean is NaN if no value is
        finite.  The half width is NaN if fewer than two values are finite.

    Examples:
        >>> mean, half_width = student_interval([0.90, 0.92, 0.94])
        >>> round(float(mean), 3), round(float(half_width), 3)
        (0.92, 0.05)
    """
    from scipy import stats

    given = np.asarray(values, dtype=np.float64)
    known = np.isfinite(given)
    n = known.sum(axis=-1)
    mean = np.where(known, given, 0.0).sum(axis=-1) / np.where(n > 0, n, math.nan)
    freedom = np.where(n > 1, n - 1, math.nan)
    squares = np.where(known, given - mean[..., None], 0.0) ** 2
    error = np.sqrt(squares.sum(axis=-1) / freedom / np.where(n > 1, n, math.nan))
    return np.asarray(mean), np.asarray(stats.t.ppf(0.975, freedom) * error)


def widening(n: int, freedom: int) -> float:
    """Return the factor that widens the deviations of resampled means for small n.

    Resampling of n values underestimates the variance of their mean by the factor (n − 1)/n, and it ignores
    the error of this variance.  Hesterberg's expanded percentile interval (The American Statistician 69, 371,
    2015) corrects both: by the factor √(n/(n−1)), and by the ratio of Student's quantile to the normal
    quantile.  The product is 2.7 for 3 values and 1.04 for 50.

    Args:
        n: number of values that are resampled, at least 2.
        freedom: degrees of freedom of the variance of the values: n − 1, or more if the variance is pooled.
    """
    from scipy import stats

    student = float(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975))
    return student * math.sqrt(n / (n - 1))


def student_factor(n: int) -> float:
    """Return half the width of the 95 % interval of a mean, in units of the standard deviation of the values.

    Args:
        n: number of values, at least 2.
    """
    from scipy import stats

    return float(stats.t.ppf(0.975, n - 1)) / math.sqrt(n)


def bootstrap_deviations(
    values: Float[Floats, " value"], *, resamples: int, seed: int | Sequence[int]
) -> Float[Floats, " {resamples}"]:
    """Compute the deviations of resampled means from the mean, widened for small n; see `widening`.

    Args:
        values: independent values, at least 2, all finite, (value,).
        resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        deviations in the units of `values`, (resample,).
    """
    n = values.size
    draws = np.random.default_rng(seed).choice(values, (resamples, n)).mean(axis=1)
    return np.asarray(widening(n, n - 1) * (draws - values.mean()))


def bootstrap_interval(
    values: npt.ArrayLike, *, resamples: int = 2000, seed: int | Sequence[int] = 0
) -> tuple[float, float]:
    """Compute the bootstrap's 95 % interval of the mean; values that are not finite are ignored.

    Args:
        values: independent values, one for each seed or run, any shape.
        resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        (lower, upper); both are NaN if fewer than two values are finite.
    """
    known = np.asarray(values, dtype=np.float64).ravel()
    known = known[np.isfinite(known)]
    if known.size < 2:
        return math.nan, math.nan
    ends = np.quantile(bootstrap_deviations(known, resamples=resamples, seed=seed), [0.025, 0.975])
    return float(known.mean() + ends[0]), float(known.mean() + ends[1])
