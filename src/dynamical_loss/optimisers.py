"""Optimisers, taken from optax by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

OptimiserFactory = Callable[[jax.Array | float], optax.GradientTransformation]


def remembers_numbers(name: str, arguments: Mapping[str, float | bool | str]) -> bool:
    """Return whether an optimiser's state holds numbers only (no random keys), so that it can be stored."""
    parameter = jax.ShapeDtypeStruct((1,), np.float32)  # type: ignore[no-untyped-call]
    state = jax.eval_shape(optimiser(name, arguments)(0.1).init, parameter)
    return all(jnp.issubdtype(leaf.dtype, jnp.number) for leaf in jax.tree.leaves(state))


def optimiser(
    name: str, arguments: Mapping[str, float | bool | str], weight_decay: float = 0.0
) -> OptimiserFactory:
    """Return a function that makes an optax optimiser from a learning rate.

    The learning rate is passed separately because it may be a traced number: one compiled program then
    serves runs with different learning rates.

    Args:
        name: name of a function of optax with a ``learning_rate`` parameter, e.g. ``sgd`` or ``adam``.
        arguments: further arguments of this function.
        weight_decay: λ; λw is added to the gradient, as if the loss had the term λ|w|²/2.

    Raises:
        ValueError: if optax has no such optimiser, or the optimiser does not accept these arguments.
    """
    create = getattr(optax, name, None)
    signature = inspect.signature(create).parameters if inspect.isfunction(create) else {}
    if create is None or "learning_rate" not in signature:
        raise ValueError(f"optax has no optimiser '{name}'; sgd, adam and rmsprop are examples")
    unknown = [key for key in arguments if key not in signature or key == "learning_rate"]
    if unknown:
        allowed = ", ".join(key for key in signature if key != "learning_rate")
        raise ValueError(f"optax.{name} takes no argument '{unknown[0]}'; it takes {allowed}")

    def factory(learning_rate: jax.Array | float) -> optax.GradientTransformation:
        chosen = create(learning_rate, **arguments)
        return optax.chain(optax.add_decayed_weights(weight_decay), chosen) if weight_decay else chosen

    def step(parameter: jax.Array) -> Any:
        transform = factory(0.1)
        return transform.update(parameter, transform.init(parameter), parameter)

    parameter = jax.ShapeDtypeStruct((1,), np.float32)  # type: ignore[no-untyped-call]
    try:
        # The step is only traced: nothing is computed, so this works on a machine without the right device.
        jax.eval_shape(step, parameter)
    except (TypeError, ValueError, AttributeError, LookupError, AssertionError, NotImplementedError) as error:
        # optax raises these for an invalid value, or for an optimiser that needs more than gradients.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"optax.{name} cannot be used with {dict(arguments)} ({reason})") from None
    return factory
