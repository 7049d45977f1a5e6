"""Stability bounds of gradient descent."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from dynamical_loss.analysis.records import Floats


def stability_bound(
    learning_rate: ArrayLike, momentum: float = 0.0, *, nesterov: bool = False
) -> Float[Floats, " ..."]:
    """Compute the sharpness at which full-batch gradient descent on a quadratic loses stability.

    The bound is 2/η for plain gradient descent, (2 + 2β)/η with momentum β, and (2 + 2β)/(η(1 + 2β)) with
    Nesterov's momentum. At the bound, a root of the iteration's characteristic polynomial passes −1. This is
    the flip bifurcation with which cascades begin.

    Args:
        learning_rate: learning rate η ≥ 0, any shape.
        momentum: momentum β, 0 ≤ β < 1.
        nesterov: whether the momentum is Nesterov's.

    Returns:
        bound in units of loss per squared parameter, of the shape of η; infinite if η is 0.

    Raises:
        ValueError: if η is negative or β is not in [0, 1).

    Examples:
        >>> float(stability_bound(0.5))
        4.0
        >>> stability_bound([0.1, 0.2], momentum=0.9, nesterov=True).round(2).tolist()
        [13.57, 6.79]
    """
    rate = np.asarray(learning_rate, dtype=np.float64)
    if np.any(rate < 0):
        raise ValueError("learning_rate must not be negative")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be in [0, 1), not {momentum}")
    product = (2 + 2 * momentum) / (1 + 2 * momentum if nesterov else 1)
    with np.errstate(divide="ignore"):
        return np.asarray(product / rate)


def batch_bounds(
    learning_rate: ArrayLike, momentum: float
) -> tuple[Float[Floats, "*shape"], Float[Floats, "*shape"]]:
    """Compute the sharpness at which descent by batches with momentum settles.

    The values are those of the abstract of arXiv 2604.14108.

    Args:
        learning_rate: learning rate η ≥ 0, any shape.
        momentum: momentum β, 0 ≤ β < 1.

    Returns:
        2(1 − β)/η for small batches and 2(1 + β)/η for large batches, each of the shape of η; infinite if η
        is 0.

    Raises:
        ValueError: if η is negative or β is not in [0, 1).
    """
    bound = stability_bound(learning_rate, momentum)
    return (1 - momentum) / (1 + momentum) * bound, bound
