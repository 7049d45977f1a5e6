"""The two branches between which λ_max and the loss alternate in an instability."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dynamical_loss.analysis.records import Floats, Integers, checked_snapshots


def _neighbours_line(snapshot_step: Integers, values: Floats) -> Floats:
    """Value at every interior snapshot of the line through its two neighbours; shape (n − 2,)."""
    span = (snapshot_step[2:] - snapshot_step[:-2]).astype(np.float64)
    weight = (snapshot_step[1:-1] - snapshot_step[:-2]) / span
    return (1.0 - weight) * values[:-2] + weight * values[2:]


def branch_gap(snapshot_step: ArrayLike, sharpness: ArrayLike) -> Floats:
    """Distance between the two branches on which λ_max alternates, free of its slow drift.

    At each snapshot, how far λ_max is from the straight line through the snapshots before and
    after. Where λ_max hops between m + a and m − a this is 2a, the same as the paper's
    |λ_max(t) − λ_max(t−1)|; where it only drifts, however steeply, this is near zero, while the
    plain difference of snapshots many steps apart is not. The end points, which have one
    neighbour, copy the value next to them.

    Args:
        snapshot_step: shape (n,), increasing.
        sharpness: λ_max, shape (n,).

    Returns:
        Shape (n,), same units as the sharpness. Zero where n < 3.

    Raises:
        ValueError: shapes differ, steps do not increase, or a spacing is even (see
            `events_from_sharpness`).
    """
    step, values = checked_snapshots(snapshot_step, sharpness)
    gap = np.zeros_like(values)
    if values.size >= 3:
        gap[1:-1] = np.abs(values[1:-1] - _neighbours_line(step, values))
        gap[0], gap[-1] = gap[1], gap[-2]
    return gap


def branch_mean(snapshot_step: ArrayLike, sharpness: ArrayLike) -> Floats:
    """λ_max averaged over the two branches: (line through the neighbours + own value) / 2.

    Args and errors as for `branch_gap`; the end points keep their own value.

    Returns:
        Shape (n,), same units as the sharpness.
    """
    step, values = checked_snapshots(snapshot_step, sharpness)
    mean = values.copy()
    if values.size >= 3:
        mean[1:-1] = 0.5 * (values[1:-1] + _neighbours_line(step, values))
    return mean


def loss_alternation(loss: ArrayLike, *, window: int = 15) -> Floats:
    """Signed amplitude of the period-two component of a loss recorded at every step.

    A loss F(t) = f(t) + (−1)^t a(t) with slow f and a gives a(t). The fourth difference over 16
    passes an alternation unchanged and annihilates a cubic trend (the second difference would
    leave the curvature of f, which the steep ramps of Γ(t) make large); multiplying by (−1)^t
    then turns a lasting alternation into a constant, and a running mean over `window` steps
    removes what keeps no phase.

    Args:
        loss: F(t), shape (n,), one value a step.
        window: odd number of steps to average over.

    Returns:
        Shape (n,), in the units of the loss. Zero at the ends, where the filter does not fit.

    Raises:
        ValueError: the loss is not one-dimensional, or the window is not odd and positive.
    """
    values = np.asarray(loss, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"loss must have shape (n,), not {values.shape}")
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be an odd number of steps, not {window}")
    amplitude = np.zeros_like(values)
    margin = 2 + window // 2
    if values.size <= 2 * margin:
        return amplitude
    fourth = np.convolve(values, np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / 16.0, mode="valid")
    fourth[1::2] *= -1.0
    amplitude[margin:-margin] = np.convolve(fourth, np.full(window, 1.0 / window), mode="valid")
    return amplitude
