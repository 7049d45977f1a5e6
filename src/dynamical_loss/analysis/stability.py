"""Bounds of stability of gradient descent."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dynamical_loss.analysis.records import Floats


def stability_bound(learning_rate: ArrayLike, momentum: float = 0.0, *, nesterov: bool = False) -> Floats:
    """Sharpness at which full-batch gradient descent on a quadratic loses stability.

    2/η for plain gradient descent, (2 + 2β)/η with momentum β and (2 + 2β)/(η(1 + 2β)) with
    Nesterov's. There the larger root of the iteration's characteristic polynomial passes −1, which is
    the flip that cascades begin with.

    Args:
        learning_rate: η ≥ 0, any shape.
        momentum: β, 0 <= β < 1.
        nesterov: whether the momentum is Nesterov's.

    Returns:
        λ in units of loss per squared parameter, of the shape of η; infinite where η is 0.

    Raises:
        ValueError: if η is negative or β is not in [0, 1).
    """
    rate = np.asarray(learning_rate, dtype=np.float64)
    if np.any(rate < 0):
        raise ValueError("learning_rate must not be negative")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be in [0, 1), not {momentum}")
    product = (2 + 2 * momentum) / (1 + 2 * momentum if nesterov else 1)
    with np.errstate(divide="ignore"):
        return np.asarray(product / rate)


def batch_bounds(learning_rate: ArrayLike, momentum: float) -> tuple[Floats, Floats]:
    """Where sharpness settles in descent by batches with momentum, by arXiv 2604.14108 (from its abstract).

    Args:
        learning_rate: η ≥ 0, any shape.
        momentum: β, 0 <= β < 1.

    Returns:
        2(1 − β)/η for small batches and 2(1 + β)/η for large ones, of the shape of η; infinite where η is 0.

    Raises:
        ValueError: if η is negative or β is not in [0, 1).
    """
    bound = stability_bound(learning_rate, momentum)
    return (1 - momentum) / (1 + momentum) * bound, bound
