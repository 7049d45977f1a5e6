"""Pure functions of a network for the training engine and the probes, and its initial parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.core import DenyList
from jaxtyping import Array, Bool, Float, Num

from dynamical_loss.arrays import AnyArray
from dynamical_loss.models.kind import Arithmetic, ModelSettings

Parameters = Any
"""Parameters of a network, a pytree of arrays with the structure that flax gives them."""

Statistics = Any
"""Statistics that a network with state (batch norm) collects in training: a pytree, empty without state."""

Apply = Callable[[Parameters, jax.Array], jax.Array]
"""Pure function of a network: (parameters, inputs (sample, …)) → logits (sample, class_index)."""

_INITIALISATION = 0  # purpose of a random key; every other use of the same seed has another number


class Network(NamedTuple):
    """Functions and initial state of a network, as the training engine uses them.

    Attributes:
        train: (parameters, statistics, inputs, present) → (logits, statistics after this batch).  `present`
            marks the samples of the batch that are not padding, (sample,) booleans; None means all samples.
        evaluate: (parameters, statistics, inputs) → logits.
        statistics: statistics before the first step.
        convolutional: whether the network has convolutions, which would become slow grouped convolutions if
            several runs were batched.
    """

    train: Callable[[Parameters, Statistics, jax.Array, jax.Array | None], tuple[jax.Array, Statistics]]
    evaluate: Callable[[Parameters, Statistics, jax.Array], jax.Array]
    statistics: Statistics
    convolutional: bool = False


def stateless(apply: Apply, convolutional: bool = False) -> Network:
    """Return the `Network` of a pure function that keeps no statistics."""
    return Network(
        train=lambda parameters, statistics, inputs, present: (apply(parameters, inputs), statistics),
        evaluate=lambda parameters, statistics, inputs: apply(parameters, inputs),
        statistics={},
        convolutional=convolutional,
    )


def network(settings: ModelSettings, model: nn.Module, input_shape: Sequence[int]) -> Network:
    """Return the `Network` of a flax module.

    In training, a module with state is called with ``training=True`` and ``present`` (see `Network.train`).
    In evaluation, it is called with ``training=False``.  All its variables other than the parameters are its
    state.

    Args:
        settings: settings of the network.
        model: module that `settings` built.
        input_shape: shape of one input.

    Raises:
        TypeError: if the module keeps variables although its kind does not declare `has_state`.  The
            variables would be lost.
    """
    example = jnp.zeros((1, *input_shape))
    kept = sorted(set(jax.eval_shape(model.init, jax.random.key(0), example)) - {"params"})
    if not settings.has_state:
        if kept:
            raise TypeError(
                f"{type(model).__name__} keeps {', '.join(kept)}, but its kind does not set has_state; "
                "set it to True"
            )
        return stateless(apply_function(model), settings.convolutional)

    def train(
        parameters: Parameters,
        statistics: Statistics,
        inputs: Float[AnyArray, "sample ..."],
        present: Bool[AnyArray, " sample"] | None,
    ) -> tuple[Float[Array, "sample class_index"], Statistics]:
        logits, changed = model.apply(
            {"params": parameters, **statistics}, inputs, training=True, present=present, mutable=kept
        )
        return jnp.asarray(logits), changed

    def evaluate(
        parameters: Parameters, statistics: Statistics, inputs: Float[AnyArray, "sample ..."]
    ) -> Float[Array, "sample class_index"]:
        return jnp.asarray(model.apply({"params": parameters, **statistics}, inputs, training=False))

    def before() -> Statistics:
        variables = model.init(jax.random.key(0), example)
        return {name: variables[name] for name in kept}

    # The initial statistics, means of 0 and variances of 1, hold no random numbers, so any key serves.
    start = jax.tree.map(np.asarray, jax.jit(before)())
    return Network(train, evaluate, start, settings.convolutional)


def computed_by(settings: ModelSettings, arithmetic: Arithmetic, precision: str) -> str:
    """Name the library that computes the products on this device; see `ModelSettings.computed_by`."""
    return settings.computed_by(arithmetic, precision) if jax.default_backend() == "cpu" else ""


def apply_function(model: nn.Module) -> Apply:
    """Return the function (parameters, inputs) → logits; batch norm uses the statistics of the inputs."""

    def apply(
        parameters: Parameters, inputs: Num[AnyArray, "sample ..."]
    ) -> Num[Array, "sample class_index"]:
        found, _ = model.apply({"params": parameters}, inputs, mutable=DenyList("params"))
        return jnp.asarray(found)

    return apply


def initial_parameters(model: nn.Module, input_shape: Sequence[int], seeds: Sequence[int]) -> Parameters:
    """Draw the initial parameters, one set per seed.

    They are drawn in float64 and depend only on the seed.  The same seed therefore gives the same initial
    network in either precision, in any block of runs, and in any order of the seeds.

    Args:
        model: network whose parameters are drawn.
        input_shape: shape of one input.
        seeds: S seeds, one for each run.

    Returns:
        Pytree of float64 numpy arrays with a leading axis (run,) of length S.
    """
    with jax.enable_x64(True):
        example = jnp.zeros((1, *input_shape), jnp.float64)

        # Compiled for one seed: a program for all seeds at once could round differently for each number of
        # seeds.
        @jax.jit
        def one(seed: jax.Array) -> Parameters:
            key = jax.random.fold_in(jax.random.key(seed), _INITIALISATION)
            return model.init(key, example)["params"]

        single = [one(np.int64(seed)) for seed in seeds]
        return jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *single)
