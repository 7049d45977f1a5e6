"""Losses of a prediction F on labels y = ±1, as functions of the margin u = F·y."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax

MarginLossName = Literal["soft_hinge", "mse"]

SHARPNESS = 20.0
"""β of the soft hinge (arXiv 1906.08034, section 2)."""


def soft_hinge(margin: jax.Array) -> jax.Array:
    """ln(1 + e^{β(1−u)})/β with β = `SHARPNESS`: close to max(0, 1 − u).

    Args:
        margin: u, any shape, dimensionless.

    Returns:
        the same shape; 1 + 1.0e-10 at u = 0.
    """
    return jax.nn.softplus(SHARPNESS * (1.0 - margin)) / SHARPNESS


def squared(margin: jax.Array) -> jax.Array:
    """(1 − u)²/2, which is (F − y)²/2 for y = ±1.

    Args:
        margin: u, any shape, dimensionless.
    """
    return 0.5 * (1.0 - margin) ** 2


MARGIN_LOSSES: dict[MarginLossName, Callable[[jax.Array], jax.Array]] = {
    "soft_hinge": soft_hinge,
    "mse": squared,
}
"""By name."""
