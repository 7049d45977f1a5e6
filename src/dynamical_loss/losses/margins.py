"""Losses of a prediction F on labels y = ±1, as functions of the margin u = F·y (arXiv 1906.08034)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
from jaxtyping import Array, Float

MarginLossName = Literal["soft_hinge", "mse"]

SHARPNESS = 20.0
"""β of the soft hinge (arXiv 1906.08034, section 2)."""


def soft_hinge(margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the soft hinge ln(1 + e^{β(1−u)})/β with β = `SHARPNESS`, which is close to max(0, 1 − u).

    At u = 0 its value is 1 + 1.0e-10.

    Args:
        margin: margin u, dimensionless.
    """
    return jax.nn.softplus(SHARPNESS * (1.0 - margin)) / SHARPNESS


def squared(margin: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return (1 − u)²/2, which equals (F − y)²/2 for y = ±1.

    Args:
        margin: margin u, dimensionless.
    """
    return 0.5 * (1.0 - margin) ** 2


MARGIN_LOSSES: dict[MarginLossName, Callable[[jax.Array], jax.Array]] = {
    "soft_hinge": soft_hinge,
    "mse": squared,
}
"""Losses by name."""
