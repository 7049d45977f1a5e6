"""The threshold of instability, its power law in the learning rate, and runs above or below it (Fig. 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
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
        mean: NaN if n = 0.
        median: NaN if n = 0.
        n: how many values.
    """

    mean: float
    median: float
    n: int

    @classmethod
    def of(cls, values: ArrayLike) -> Summary:
        """Summary of the values that are not NaN; `values` has shape (m,)."""
        known = np.asarray(values, dtype=np.float64)
        known = known[~np.isnan(known)]
        if known.size == 0:
            return cls(math.nan, math.nan, 0)
        return cls(float(np.mean(known)), float(np.median(known)), int(known.size))


@dataclass(frozen=True)
class Threshold:
    """The sharpness at which instabilities start and finish (Fig. 4e, horizontal dashed line).

    Attributes:
        all: mean over starts and finishes together, the paper's λ_th.
        starts: mean over starts alone.
        finishes: mean over finishes alone.
        branch_mean_onsets: mean over onsets of the branch-averaged sharpness, which only
            `LOSS_RULE` gives.
        branch_mean_starts: mean over starts of the branch-averaged sharpness; with `LOSS_RULE`,
            the one to hold against 2/η. Prefer its median: sudden bursts are read too high.
        branch_mean_finishes: mean over finishes of the branch-averaged sharpness.

    Events of one run follow each other and are not independent: an uncertainty needs several seeds.
    """

    all: Summary
    starts: Summary
    finishes: Summary
    branch_mean_onsets: Summary
    branch_mean_starts: Summary
    branch_mean_finishes: Summary


def threshold(events: Sequence[Event]) -> Threshold:
    """Instability threshold λ_th: the mean sharpness when events start and finish (Fig. 4e, 5a).

    Args:
        events: events of one run, or of several runs at one learning rate. Unknown sharpness (NaN,
            as at the finish of an event that did not finish) is left out.

    Returns:
        Means in units of sharpness; NaN with n = 0 where nothing is known.
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
        exponent: p; −1 in theory, −0.9 in the paper.
        exponent_interval: 95 % interval, NaNs where it cannot be had.
        prefactor: c; 2 in theory.
        prefactor_interval: 95 % interval, NaNs where it cannot be had.
        n: points used.
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
    """Least-squares line through log λ_th against log η, with a bootstrap interval (Fig. 5a).

    The bootstrap resamples seeds within each learning rate, because the learning rates were
    chosen and the seeds were drawn. Deviations from the mean of a learning rate are widened as
    `intervals.widening` says. A learning rate with a single seed contributes no scatter; if all have one,
    there is no interval. The interval tells of scatter between seeds, not of whether a power law
    is the right curve.

    Args:
        learning_rate: η of each (η, seed) point, shape (n,), positive.
        threshold: λ_th of each point, shape (n,). NaN (a run without instabilities) is left out.
        rng: source of the resampling.
        resamples: bootstrap resamples.

    Returns:
        The fit; NaN throughout with fewer than two distinct learning rates.

    Raises:
        ValueError: shapes differ, a learning rate or threshold is not positive and finite, or
            `resamples` is not positive.
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
            # Few seeds know their own scatter badly, all learning rates together know it better.
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
    """Where λ_max sits relative to a threshold, after a transient (Fig. 5b, 5c).

    Attributes:
        fraction: of snapshots, with λ_max above the threshold. Near 1: above it; near 0: below.
        fraction_of_branch_mean: the same for the average of the two branches. Where λ_max
            alternates across the threshold, `fraction` is near one half and this one tells on
            which side the run sits.
    """

    fraction: float
    fraction_of_branch_mean: float


def fraction_above(snapshot_step: ArrayLike, sharpness: ArrayLike, threshold: float) -> AboveThreshold:
    """How much of the second half of a run λ_max spends above a threshold (Fig. 5b, 5c).

    Args:
        snapshot_step: shape (n,), increasing, odd spacings.
        sharpness: λ_max, shape (n,). Values that are not finite, as in a diverged run, end the
            record.
        threshold: in units of sharpness; 2/η, or what `threshold` measured.

    Returns:
        Fractions of the snapshots from the middle of the recorded steps on; NaN if there are none.

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


def _interval95(samples: Floats) -> tuple[float, float]:
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)
