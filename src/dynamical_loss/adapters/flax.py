"""The number of optimiser steps in Flax, for NNX and linen: the step of a dynamical loss."""

from __future__ import annotations

from typing import Any

import jax
import optax


def optimiser_step(state: Any) -> jax.Array:
    """Return the number of steps that the optimiser has done, also with accumulated gradients.

    Args:
        state: ``flax.nnx.Optimizer``, or ``flax.training.train_state.TrainState`` of linen. It may be traced.

    Returns:
        the number of steps, (). If the optimiser is in ``optax.MultiSteps``, it counts the steps of the
        parameters, and not the batches.

    Raises:
        TypeError: if `state` is neither.

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax.training.train_state import TrainState
        >>> state = TrainState.create(apply_fn=None, params={"a": jnp.ones(2)}, tx=optax.sgd(0.1))
        >>> int(optimiser_step(state.apply_gradients(grads={"a": jnp.ones(2)})))
        1
    """
    if not hasattr(state, "step") or not hasattr(state, "opt_state"):
        raise TypeError(
            f"optimiser_step takes flax.nnx.Optimizer or a TrainState of linen, not {type(state).__name__}"
        )
    accumulated = jax.tree.leaves(state.opt_state, is_leaf=_is_accumulating)
    for part in accumulated:
        if _is_accumulating(part):
            return _value(part.gradient_step)
    return _value(state.step)


def _is_accumulating(part: Any) -> bool:
    return isinstance(part, optax.MultiStepsState)


def _value(number: Any) -> jax.Array:
    """Return the array of a number, which NNX keeps in a variable."""
    import jax.numpy as jnp

    return jnp.asarray(number[...] if hasattr(number, "get_value") else number)
