"""Threshold of instability, its power law in the learning rate, and runs above or below it (Fig. 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from dynamical_loss.analysis.branches import branch_mean
from dynamical_loss.analysis.events import Event
from dynamical_loss.analysis.intervals import widening
from dynamical_loss.analysis.records import (
    Floats,
    checked_snapshots,
    column,
    finite_length,
    require_positive,
)


@dataclass(frozen=True)
class Summary:
    """Mean and median of some values.

    Attributes:
        mean: mean of the values; NaN if n = 0.
        median: median of the values; NaN if n = 0.
        n: number of values.
    """

    mean: float
    median: float
    n: int

    @classmethod
    def of(cls, values: ArrayLike) -> Summary:
        """Summarise the values that are not NaN, (value,)."""
        known = np.asarray(values, dtype=np.float64)
        known = known[~np.isnan(known)]
        if known.size == 0:
            return cls(math.nan, math.nan, 0)
        return cls(float(np.mean(known)), float(np.median(known)), int(known.size))


@dataclass(frozen=True)
class Threshold:
    """Sharpness at which instabilities start and finish (Fig. 4e, horizontal dashed line).

    Successive events of one run are not independent, so an uncertainty needs several seeds.

    Attributes:
        all: sharpness at starts and finishes together; its mean is the paper's λ_th.
        starts: sharpness at starts alone.
        finishes: sharpness at finishes alone.
        branch_mean_onsets: branch-averaged sharpness at onsets, which are known only for `LOSS_RULE`.
        branch_mean_starts: branch-averaged sharpness at starts. With `LOSS_RULE` it can be compared with 2/η;
            prefer the median, because the sharpness of sudden bursts is read too high.
        branch_mean_finishes: branch-averaged sharpness at finishes.
    """

    all: Summary
    starts: Summary
    finishes: Summary
    branch_mean_onsets: Summary
    branch_mean_starts: Summary
    branch_mean_finishes: Summary


def threshold(events: Sequence[Event]) -> Threshold:
    """Compute the threshold λ_th, the mean sharpness at starts and finishes of events (Fig. 4e, 5a).

    Args:
        events: events of one run, or of several runs at one learning rate. Unknown sharpness is ignored; it
            is NaN, for example at the finish of an event that did not finish.

    Returns:
        `Threshold`, in units of sharpness; means and medians of no values are NaN, with n = 0.
    """
    starts = column(event.sharpness_at_start for event in events)
    finishes = column(event.sharpness_at_finish for event in events)
    return Threshold(
        all=Summary.of(np.concatenate([starts, finishes])),
        starts=Summary.of(starts),
        finishes=Summary.of(finishes),
        branch_mean_onsets=Summary.of([event.branch_mean_at_onset for event in events]),
        branch_mean_starts=Summary.of([event.branch_mean_at_start for event in events]),
        branch_mean_finishes=Summary.of([event.branch_mean_at_finish for event in events]),
    )


@dataclass(frozen=True)
class PowerLaw:
    """λ_th = prefactor · η^exponent (Fig. 5a).

    Attributes:
        exponent: exponent; −1 in theory, −0.9 in the paper.
        exponent_interval: 95 % interval of the exponent, (lower, upper); NaN if it cannot be computed.
        prefactor: prefactor; 2 in theory.
        prefactor_interval: 95 % interval of the prefactor, (lower, upper); NaN if it cannot be computed.
        n: number of points in the fit.
    """

    exponent: float
    exponent_interval: tuple[float, float]
    prefactor: float
    prefactor_interval: tuple[float, float]
    n: int


def fit_power_law(
    learning_rate: ArrayLike,
    threshold: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> PowerLaw:
    """Fit a line to log λ_th against log η by least squares, with a bootstrap interval (Fig. 5a).

    The bootstrap resamples seeds within each learning rate, because the learning rates were chosen and the
    seeds were drawn. Deviations from the mean of a learning rate are widened by `intervals.widening`. A
    learning rate with a single seed contributes no scatter. If every learning rate has a single seed, there
    is no interval. The interval describes the scatter between seeds, and not whether a power law is the right
    curve.

    Args:
        learning_rate: positive learning rate η of each (η, seed) point, (point,).
        threshold: λ_th of each point, (point,). NaN (a run without instabilities) is ignored.
        rng: random generator of the resampling.
        resamples: number of bootstrap resamples.

    Returns:
        the fit; all its numbers are NaN if there are fewer than two distinct learning rates.

    Raises:
        ValueError: shapes differ, a learning rate or threshold is not positive and finite, or
            `resamples` is not positive.

    Examples:
        >>> rate = np.array([0.5, 1.0, 2.0, 4.0])
        >>> fit = fit_power_law(rate, 2 / rate, rng=np.random.default_rng(0))
        >>> round(fit.exponent, 6), round(fit.prefactor, 6)
        (-1.0, 2.0)
    """
    rates = np.asarray(learning_rate, dtype=np.float64)
    values = np.asarray(threshold, dtype=np.float64)
    if rates.ndim != 1 or rates.shape != values.shape:
        raise ValueError(f"learning_rate {rates.shape} and threshold {values.shape} must share a shape (n,)")
    require_positive(resamples=resamples)
    known = ~np.isnan(values)
    rates, values = rates[known], values[known]
    if not np.all((rates > 0) & np.isfinite(rates)):
        raise ValueError("learning rates must be positive and finite")
    if not np.all((values > 0) & np.isfinite(values)):
        raise ValueError("thresholds must be positive and finite, or NaN")

    nowhere = (math.nan, math.nan)
    distinct = np.unique(rates)
    if distinct.size < 2:
        return PowerLaw(math.nan, nowhere, math.nan, nowhere, int(rates.size))

    x, y = np.log(rates), np.log(values)
    centred = x - x.mean()
    # The slope is linear in y, so one product fits every resample at once.
    slope_of = centred / np.sum(centred**2)
    slope = float(slope_of @ y)
    intercept = float(y.mean() - slope * x.mean())

    exponent_interval = prefactor_interval = nowhere
    groups = [np.flatnonzero(rates == rate) for rate in distinct]
    if max(group.size for group in groups) > 1:
        resampled = np.empty((resamples, y.size))
        freedom = sum(group.size - 1 for group in groups)
        for group in groups:
            centre = y[group].mean()
            drawn = y[rng.choice(group, size=(resamples, group.size))]
            # The scatter of few seeds is uncertain.  The degrees of freedom are pooled over all learning
            # rates.
            wider = widening(group.size, freedom) if group.size > 1 else 1.0
            resampled[:, group] = centre + wider * (drawn - centre)
        slopes = resampled @ slope_of
        prefactors = np.exp(resampled.mean(axis=1) - slopes * x.mean())
        exponent_interval = _interval95(slopes)
        prefactor_interval = _interval95(prefactors)
    return PowerLaw(
        exponent=slope,
        exponent_interval=exponent_interval,
        prefactor=math.exp(intercept),
        prefactor_interval=prefactor_interval,
        n=int(rates.size),
    )


@dataclass(frozen=True)
class AboveThreshold:
    """Position of λ_max relative to a threshold, after a transient (Fig. 5b, 5c).

    Attributes:
        fraction: fraction of snapshots with λ_max above the threshold; near 1 for a run above the threshold,
            near 0 for a run below it.
        fraction_of_branch_mean: fraction of snapshots with the average of the two branches above the
            threshold. If λ_max alternates across the threshold, `fraction` is near one half, and this
            fraction tells on which side of the threshold the run is.
    """

    fraction: float
    fraction_of_branch_mean: float


def fraction_above(snapshot_step: ArrayLike, sharpness: ArrayLike, threshold: float) -> AboveThreshold:
    """Compute the fraction of the second half of a run that λ_max spends above a threshold (Fig. 5b, 5c).

    Args:
        snapshot_step: steps of the snapshots, increasing, with odd spacings, (snapshot,).
        sharpness: λ_max at the snapshots, (snapshot,). The record ends at the first value that is not finite
            (a diverged run).
        threshold: threshold in units of sharpness: 2/η, or the result of the function `threshold`.

    Returns:
        fractions of the snapshots from the middle of the recorded steps on; NaN if there are no such
        snapshots.

    Raises:
        ValueError: shapes differ, steps do not increase, or a spacing is even.
    """
    step, values = checked_snapshots(snapshot_step, sharpness)
    middle = 0.5 * (step[0] + step[-1]) if step.size else 0.0
    finite = finite_length(values)
    step, values = step[:finite], values[:finite]
    used = step >= middle
    if not used.any():
        return AboveThreshold(math.nan, math.nan)
    return AboveThreshold(
        fraction=float(np.mean(values[used] > threshold)),
        fraction_of_branch_mean=float(np.mean(branch_mean(step, values)[used] > threshold)),
    )


def _interval95(samples: Float[Floats, " resample"]) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % quantiles."""
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)
