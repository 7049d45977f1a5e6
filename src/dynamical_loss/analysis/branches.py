"""The two branches between which λ_max and the loss alternate during an instability."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from dynamical_loss.analysis.records import Floats, Integers, checked_snapshots


def _neighbours_line(
    snapshot_step: Int[Integers, " snapshot"], values: Float[Floats, " snapshot"]
) -> Float[Floats, " snapshot-2"]:
    """Interpolate linearly between the two neighbours of every interior snapshot, (snapshot − 2,)."""
    span = (snapshot_step[2:] - snapshot_step[:-2]).astype(np.float64)
    weight = (snapshot_step[1:-1] - snapshot_step[:-2]) / span
    return (1.0 - weight) * values[:-2] + weight * values[2:]


def branch_gap(snapshot_step: ArrayLike, sharpness: ArrayLike) -> Float[Floats, " snapshot"]:
    """Compute the distance between the two branches on which λ_max alternates, without its slow drift.

    The gap at a snapshot is the distance of λ_max to the straight line through the snapshots before and
    after. If λ_max alternates between m + a and m − a, the gap is 2a, the same as the paper's |λ_max(t) −
    λ_max(t−1)|. If λ_max only drifts, however steeply, the gap is near zero, whereas the plain difference of
    snapshots many steps apart is not. The first and the last snapshot have only one neighbour; they get the
    gap of that neighbour.

    Args:
        snapshot_step: minimisation steps of the snapshots, increasing, (snapshot,).
        sharpness: λ_max at the snapshots, (snapshot,).

    Returns:
        gaps in units of the sharpness, (snapshot,); zero if there are fewer than 3 snapshots.

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


def branch_mean(snapshot_step: ArrayLike, sharpness: ArrayLike) -> Float[Floats, " snapshot"]:
    """Average λ_max over the two branches.

    The mean at a snapshot is half the sum of λ_max and of the value there of the straight line through the
    snapshots before and after. The first and the last snapshot keep their own value.

    Args:
        snapshot_step: minimisation steps of the snapshots, increasing, (snapshot,).
        sharpness: λ_max at the snapshots, (snapshot,).

    Returns:
        means in units of the sharpness, (snapshot,).

    Raises:
        ValueError: shapes differ, steps do not increase, or a spacing is even (see
            `events_from_sharpness`).
    """
    step, values = checked_snapshots(snapshot_step, sharpness)
    mean = values.copy()
    if values.size >= 3:
        mean[1:-1] = 0.5 * (values[1:-1] + _neighbours_line(step, values))
    return mean


def loss_alternation(loss: ArrayLike, *, window: int = 15) -> Float[Floats, " step"]:
    """Compute the signed amplitude of the period-two component of a loss that is recorded at every step.

    For a loss F(t) = f(t) + (−1)^t a(t) with slowly varying f and a, the result is a(t). The filter takes the
    fourth difference divided by 16. This leaves an alternation unchanged and removes a cubic trend. (The
    second difference would leave the curvature of f, which is large on the steep ramps of Γ(t).)
    Multiplication by (−1)^t then turns a lasting alternation into a constant. A running mean over `window`
    steps removes everything without a constant phase.

    Args:
        loss: F(t) at every step, (step,).
        window: number of steps to average over, odd.

    Returns:
        amplitudes in units of the loss, (step,); zero at both ends, where the filter does not fit.

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
