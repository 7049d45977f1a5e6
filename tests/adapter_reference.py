"""What adapters are compared with: gradient descent by the pipeline's own functions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynamical_loss import api, losses
from dynamical_loss.losses.weights import class_weights

PERIOD, AMPLITUDE, CLASSES = 6, 8.0, 3
CYCLE = PERIOD * CLASSES
SCHEDULE = api.class_weight_schedule(PERIOD, AMPLITUDE, CLASSES)
LEARNING_RATE = 0.5

_RANDOM = np.random.default_rng(0)
INPUTS = _RANDOM.normal(size=(10, 4)).astype(np.float32)
LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])
KERNEL = _RANDOM.normal(size=(4, 3)).astype(np.float32)
"""Kernel of a linear network at the start, (input, class)."""


def descent(
    steps: int, loss: losses.SampleLoss = losses.cross_entropy, repeat: int = 1
) -> tuple[list[float], np.ndarray[Any, Any]]:
    """Return the losses along gradient descent, `repeat` times each, and the last kernel."""
    kernel, found = jnp.asarray(KERNEL), []
    for step in range(steps):
        weights = class_weights(step, PERIOD, AMPLITUDE, CLASSES)

        def value_of(kernel: jax.Array, weights: jax.Array = weights) -> jax.Array:
            return losses.weighted_loss(loss, INPUTS @ kernel, np.eye(CLASSES)[LABELS], weights)

        value, gradient = jax.value_and_grad(value_of)(kernel)
        found += [float(value)] * repeat
        kernel -= LEARNING_RATE * gradient
    return found, np.asarray(kernel)
