"""Losses of a prediction F on labels y = ±1, as functions of the margin u = F·y."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import jax

MarginLossName = Literal["soft_hinge", "mse"]
MARGIN_LOSSES: tuple[str, ...] = get_args(MarginLossName)

MarginLoss = Callable[[jax.Array], jax.Array]

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


_MARGIN_LOSSES: dict[str, MarginLoss] = {"soft_hinge": soft_hinge, "mse": squared}


def margin_loss(name: MarginLossName) -> MarginLoss:
    """The loss of that name.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in _MARGIN_LOSSES:
        raise ValueError(f"unknown loss '{name}'; choose one of {', '.join(MARGIN_LOSSES)}")
    return _MARGIN_LOSSES[name]
