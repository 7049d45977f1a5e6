"""Checks of records along a run: steps must increase, and snapshots must show both branches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


def whole_steps(step: ArrayLike, name: str) -> Int[Integers, " step"]:
    """Convert steps to integers, (step,).

    Args:
        step: steps.
        name: name of the argument, for the error message.

    Raises:
        ValueError: if the steps are not one-dimensional, are not whole numbers, or do not increase.
    """
    given = np.asarray(step)
    if given.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), not {given.shape}")
    steps = given.astype(np.int64)
    if np.any(steps != given):
        raise ValueError(f"{name} must hold whole numbers of steps")
    if np.any(np.diff(steps) <= 0):
        raise ValueError(f"{name} must increase")
    return steps


def checked_snapshots(
    snapshot_step: ArrayLike, values: ArrayLike
) -> tuple[Int[Integers, " snapshot"], Float[Floats, " snapshot"]]:
    """Check the steps of snapshots and the values at the snapshots, and return both as arrays.

    Raises:
        ValueError: if the shapes differ, the steps do not increase, or a spacing is even.
    """
    step = whole_steps(snapshot_step, "snapshot_step")
    array = np.asarray(values, dtype=np.float64)
    if array.shape != step.shape:
        raise ValueError(f"snapshot_step {step.shape} and the values at them {array.shape} differ in shape")
    if np.any(np.diff(step) % 2 == 0):
        raise ValueError(
            "snapshots must be an odd number of steps apart: with an even spacing, all snapshots lie on "
            "the same branch of a period-two alternation and do not show it"
        )
    return step, array


def finite_length(values: Float[Floats, " record"]) -> int:
    """Return the number of values before the first value that is not finite."""
    broken = np.flatnonzero(~np.isfinite(values))
    return int(broken[0]) if broken.size else int(values.size)


def column(values: Iterable[float]) -> Float[Floats, " value"]:
    """Return numbers as an array, (value,)."""
    return np.array(list(values), dtype=np.float64)


def require_positive(**settings: float) -> None:
    """Check that every setting is positive.

    Raises:
        ValueError: if a setting is not positive; the message names the setting.
    """
    for name, value in settings.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")
