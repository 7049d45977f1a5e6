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
    """Whether all that an optimiser keeps are numbers, and not random keys, so that they can be stored."""
    parameter = jax.ShapeDtypeStruct((1,), np.float32)  # type: ignore[no-untyped-call]
    state = jax.eval_shape(optimiser(name, arguments)(0.1).init, parameter)
    return all(jnp.issubdtype(leaf.dtype, jnp.number) for leaf in jax.tree.leaves(state))


def optimiser(
    name: str, arguments: Mapping[str, float | bool | str], weight_decay: float = 0.0
) -> OptimiserFactory:
    """The optax optimiser of that name, waiting for its learning rate.

    The learning rate comes last because it may be a traced number: one compiled program then serves
    runs with different learning rates.

    Args:
        name: a function of optax with a ``learning_rate`` parameter, e.g. ``sgd`` or ``adam``.
        arguments: its other arguments.
        weight_decay: λ; λw is added to the gradient that the optimiser takes, as for a loss with λ|w|²/2.

    Raises:
        ValueError: if optax has no such optimiser, or it does not take these arguments.
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
        # Traced alone: nothing is computed, so it does not matter which devices there are.
        jax.eval_shape(step, parameter)
    except (TypeError, ValueError, AttributeError, LookupError, AssertionError, NotImplementedError) as error:
        # What optax raises for a value it cannot use, or an optimiser that wants more than gradients.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"optax.{name} cannot be used with {dict(arguments)} ({reason})") from None
    return factory
