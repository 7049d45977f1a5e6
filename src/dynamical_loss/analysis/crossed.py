"""Parts of the variance of a result that are due to the data and to the initial weights.

Every draw of the data is trained from every seed, with one run for each pair.  The model is the two-way
random-effects model without replication, value = mean + data + seed + rest.  The rest holds the interaction
of data and seed, and everything that would change if the run were repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

_TAIL = 0.025  # probability on either side of a 95 % interval


@dataclass(frozen=True)
class Estimate:
    """An estimate with its 95 % interval.

    Attributes:
        value: the estimate.
        interval: ends of the interval, (lower, upper); NaN if there is no interval.
    """

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Components:
    """Mean and variance components of a table of values over (data, seed).

    Attributes:
        mean: mean of all values; its interval holds for new data and new seeds.
        data: variance due to the draw of the data, in squared units of the values.
        seed: variance due to the initial seed, in squared units of the values.
        rest: variance that is due to neither alone, in squared units of the values.
    """

    mean: Estimate
    data: Estimate
    seed: Estimate
    rest: Estimate


def components(values: npt.ArrayLike) -> Components:
    """Split the variance of a table of runs into its components.

    The variances are estimated by analysis of variance; a negative estimate is set to 0.  The intervals of
    the parts due to data and seed are modified large-sample intervals (Ting et al., J. Stat. Comput. Simul.
    35, 135, 1990).  The interval of the rest is the χ² interval.  The interval of the mean is Student's, with
    Satterthwaite's degrees of freedom.  All intervals assume that the parts are normally distributed.

    Args:
        values: table of values, (data, seed), both at least 2, all finite.

    Raises:
        ValueError: if the table has another shape or a value that is not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise ValueError(
            f"values must be a table of finite values, at least 2 × 2; its shape is {table.shape}"
        )
    rows, columns = table.shape
    mean = float(table.mean())
    by_row, by_column = table.mean(axis=1), table.mean(axis=0)
    left = table - by_row[:, None] - by_column + mean
    freedom = rows - 1, columns - 1, (rows - 1) * (columns - 1)
    squares = (
        columns * float(np.sum((by_row - mean) ** 2)) / freedom[0],
        rows * float(np.sum((by_column - mean) ** 2)) / freedom[1],
        float(np.sum(left**2)) / freedom[2],
    )
    return Components(
        mean=_mean(mean, squares, freedom, table.size),
        data=_component(squares[0], squares[2], freedom[0], freedom[2], columns),
        seed=_component(squares[1], squares[2], freedom[1], freedom[2], rows),
        rest=_rest(squares[2], freedom[2]),
    )


def half_widths(values: npt.ArrayLike) -> Float[npt.NDArray[np.float64], "*batch"]:
    """Return half the width of the 95 % interval of the mean of each table, see `components`.

    Args:
        values: tables of values, (…, data, seed).

    Returns:
        half widths, (…); NaN for a table with fewer than two rows or columns, or with a value that is not
        finite.
    """
    tables = np.asarray(values, dtype=np.float64)
    found = np.full(tables.shape[:-2], math.nan)
    if min(tables.shape[-2:]) > 1:
        for place in np.argwhere(np.isfinite(tables).all(axis=(-2, -1))):
            mean = components(tables[tuple(place)]).mean
            found[tuple(place)] = mean.interval[1] - mean.value
    return found


def _mean(
    mean: float, squares: tuple[float, float, float], freedom: tuple[int, int, int], size: int
) -> Estimate:
    """Return the mean with its interval, from the mean squares of data, seed and rest."""
    from scipy import stats

    signs = (1.0, 1.0, -1.0)
    combined = sum(sign * square for sign, square in zip(signs, squares, strict=True))
    # If neither data nor seed matter, all three mean squares estimate the same variance.  Their combination
    # may then be smaller than this variance.
    variance = max(combined, squares[2])
    if variance == 0.0:
        return Estimate(mean, (mean, mean))
    effective = variance**2 / sum(square**2 / count for square, count in zip(squares, freedom, strict=True))
    # Fewer than one degree of freedom can only be due to the noise of the mean squares.
    half = float(stats.t.ppf(1 - _TAIL, max(effective, 1.0))) * math.sqrt(variance / size)
    return Estimate(mean, (mean - half, mean + half))


def _component(square: float, rest: float, freedom: int, freedom_of_rest: int, per_level: int) -> Estimate:
    """Return the variance (square − rest) / per_level with its modified large-sample interval."""
    from scipy import stats

    def f(probability: float, first: float, second: float) -> float:
        """Return a quantile of F, or of χ² divided by its degrees of freedom if `second` is infinite."""
        if math.isinf(second):
            return float(stats.chi2.ppf(probability, first) / first)
        return float(stats.f.ppf(probability, first, second))

    high, low = 1 - _TAIL, _TAIL
    difference = square - rest
    lower_own, upper_own = (1 - 1 / f(p, freedom, math.inf) for p in (high, low))
    upper_own = -upper_own
    lower_rest, upper_rest = (1 - 1 / f(p, freedom_of_rest, math.inf) for p in (high, low))
    upper_rest = -upper_rest
    top, bottom = f(high, freedom, freedom_of_rest), f(low, freedom, freedom_of_rest)
    both_lower = ((top - 1) ** 2 - lower_own**2 * top**2 - upper_rest**2) / top
    both_upper = ((1 - bottom) ** 2 - upper_own**2 * bottom**2 - lower_rest**2) / bottom
    down = (lower_own * square) ** 2 + (upper_rest * rest) ** 2 + both_lower * square * rest
    up = (upper_own * square) ** 2 + (lower_rest * rest) ** 2 + both_upper * square * rest
    ends = difference - math.sqrt(max(down, 0.0)), difference + math.sqrt(max(up, 0.0))
    lower, upper = (max(end, 0.0) / per_level for end in ends)
    return Estimate(max(difference, 0.0) / per_level, (lower, upper))


def _rest(square: float, freedom: int) -> Estimate:
    """Return the variance of the rest with its χ² interval."""
    from scipy import stats

    lower, upper = (freedom * square / float(stats.chi2.ppf(p, freedom)) for p in (1 - _TAIL, _TAIL))
    return Estimate(square, (lower, upper))
