"""Records along a run, checked: steps increase, and snapshots see both branches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


def whole_steps(step: ArrayLike, name: str) -> Integers:
    """Steps as integers, shape (n,); ValueError unless they are whole numbers and increase."""
    given = np.asarray(step)
    if given.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), not {given.shape}")
    steps = given.astype(np.int64)
    if np.any(steps != given):
        raise ValueError(f"{name} must hold whole numbers of steps")
    if np.any(np.diff(steps) <= 0):
        raise ValueError(f"{name} must increase")
    return steps


def checked_snapshots(snapshot_step: ArrayLike, values: ArrayLike) -> tuple[Integers, Floats]:
    """Checked snapshot steps and values, both of shape (n,)."""
    step = whole_steps(snapshot_step, "snapshot_step")
    array = np.asarray(values, dtype=np.float64)
    if array.shape != step.shape:
        raise ValueError(f"snapshot_step {step.shape} and the values at them {array.shape} differ in shape")
    if np.any(np.diff(step) % 2 == 0):
        raise ValueError(
            "snapshots must be an odd number of steps apart: an even spacing samples one branch "
            "of a period-two alternation and cannot see it"
        )
    return step, array


def finite_length(values: Floats) -> int:
    """How many values come before the first that is not finite."""
    broken = np.flatnonzero(~np.isfinite(values))
    return int(broken[0]) if broken.size else int(values.size)


def column(values: Iterable[float]) -> Floats:
    """Numbers as an array, shape (n,)."""
    return np.array(list(values), dtype=np.float64)


def require_positive(**settings: float) -> None:
    """Refuse a setting that is not positive.

    Raises:
        ValueError: naming it.
    """
    for name, value in settings.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")
