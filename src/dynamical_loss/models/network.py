"""Networks as the training engine and the probes see them, and their initial parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.core import DenyList

from dynamical_loss.models.kind import Arithmetic, ModelSettings

Parameters = Any
"""A pytree of arrays, as flax gives it."""

Statistics = Any
"""What a network with state, as batch norm, collects along the way; a pytree, empty for other networks."""

Apply = Callable[[Parameters, jax.Array], jax.Array]
"""(parameters, inputs (sample, …)) to logits (sample, class_index)."""

_INITIALISATION = 0  # purpose of a random key; other purposes of the same seed take other numbers


class Network(NamedTuple):
    """What the training engine sees of a network.

    Attributes:
        train: (parameters, statistics, inputs, present) → logits and the statistics after this batch.
            `present` says which samples of the batch are there, (sample,) booleans; None: all.
        evaluate: (parameters, statistics, inputs) → logits.
        statistics: before the first step.
        convolutional: runs side by side would turn its convolutions into slow grouped ones.
    """

    train: Callable[[Parameters, Statistics, jax.Array, jax.Array | None], tuple[jax.Array, Statistics]]
    evaluate: Callable[[Parameters, Statistics, jax.Array], jax.Array]
    statistics: Statistics
    convolutional: bool = False


def stateless(apply: Apply, convolutional: bool = False) -> Network:
    """A network without statistics, from its pure function."""
    return Network(
        train=lambda parameters, statistics, inputs, present: (apply(parameters, inputs), statistics),
        evaluate=lambda parameters, statistics, inputs: apply(parameters, inputs),
        statistics={},
        convolutional=convolutional,
    )


def network(settings: ModelSettings, model: nn.Module, input_shape: Sequence[int]) -> Network:
    """A flax module as the training engine takes it.

    A module with state is called with ``training=True`` and ``present`` (see `Network.train`) in training,
    and with ``training=False`` when it is evaluated.  All its variables but the parameters are its state.

    Args:
        settings: of its kind.
        model: what `settings` built.
        input_shape: shape of one input.

    Raises:
        TypeError: if the module keeps variables that its kind does not say it has: they would be lost.
    """
    example = jnp.zeros((1, *input_shape))
    kept = sorted(set(jax.eval_shape(model.init, jax.random.key(0), example)) - {"params"})
    if not settings.has_state:
        if kept:
            raise TypeError(f"{type(model).__name__} keeps {', '.join(kept)}, and its kind has no state")
        return stateless(apply_function(model), settings.convolutional)

    def train(
        parameters: Parameters, statistics: Statistics, inputs: jax.Array, present: jax.Array | None
    ) -> tuple[jax.Array, Statistics]:
        logits, changed = model.apply(
            {"params": parameters, **statistics}, inputs, training=True, present=present, mutable=kept
        )
        return jnp.asarray(logits), changed

    def evaluate(parameters: Parameters, statistics: Statistics, inputs: jax.Array) -> jax.Array:
        return jnp.asarray(model.apply({"params": parameters, **statistics}, inputs, training=False))

    def before() -> Statistics:
        variables = model.init(jax.random.key(0), example)
        return {name: variables[name] for name in kept}

    # As means of 0 and variances of 1: no random number is in them.
    start = jax.tree.map(np.asarray, jax.jit(before)())
    return Network(train, evaluate, start, settings.convolutional)


def computed_by(settings: ModelSettings, arithmetic: Arithmetic, precision: str) -> str:
    """What computes the network's products on the device at hand; see `ModelSettings.computed_by`."""
    return settings.computed_by(arithmetic, precision) if jax.default_backend() == "cpu" else ""


def apply_function(model: nn.Module) -> Apply:
    """The pure function (parameters, inputs) → logits; batch norm takes the statistics of the inputs."""

    def apply(parameters: Parameters, inputs: jax.Array) -> jax.Array:
        found, _ = model.apply({"params": parameters}, inputs, mutable=DenyList("params"))
        return jnp.asarray(found)

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
