"""Networks, by name, and their initial parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dynamical_loss.config.models import ModelSettings
from dynamical_loss.models.mlp import MLP

Parameters = Any
"""A pytree of arrays, as flax gives it."""

Apply = Callable[[Parameters, jax.Array], jax.Array]
"""(parameters, inputs (sample, …)) to logits (sample, class_index)."""

_INITIALISATION = 0  # purpose of a random key; other purposes of the same seed take other numbers


def build(settings: ModelSettings, classes: int) -> nn.Module:
    """The network that `settings` describe.

    Args:
        settings: architecture and its sizes.
        classes: number of outputs.
    """
    return MLP(
        width=settings.width,
        classes=classes,
        depth=settings.depth,
        initialisation=settings.initialisation,
    )


def apply_function(model: nn.Module) -> Apply:
    """The pure function (parameters, inputs) → logits of a network without state."""

    def apply(parameters: Parameters, inputs: jax.Array) -> jax.Array:
        return jnp.asarray(model.apply({"params": parameters}, inputs))

    return apply


def initial_parameters(model: nn.Module, input_shape: Sequence[int], seeds: Sequence[int]) -> Parameters:
    """Initial parameters, one set per seed.

    They are drawn in float64 and depend on the seed alone, so the same seed starts from the same
    network in either precision, in any block and in any order.

    Args:
        model: the network.
        input_shape: shape of one input.
        seeds: S seeds.

    Returns:
        pytree of float64 numpy arrays with a leading axis (run,) of length S.
    """
    with jax.enable_x64(True):
        example = jnp.zeros((1, *input_shape), jnp.float64)

        # Compiled for one seed and not for all at once: the same code then draws each in any company.
        @jax.jit
        def one(seed: jax.Array) -> Parameters:
            key = jax.random.fold_in(jax.random.key(seed), _INITIALISATION)
            return model.init(key, example)["params"]

        single = [one(np.int64(seed)) for seed in seeds]
        return jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *single)
