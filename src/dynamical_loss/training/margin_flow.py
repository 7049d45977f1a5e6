"""Gradient flow of a network, and of its frozen kernel, on labels y = ±1 (arXiv 1906.08034).

The prediction is F(x) = α[f(w, x) − f(w₀, x)] and the loss 𝓛(w) = Σ_μ Γ_{y_μ}(t) ℓ(F(x_μ) y_μ)/(α² P).  The
paper's loss has no Γ.  The kernel of f that stays as it is moves the prediction by
Ḟ = −Θ [Γ ℓ'(F y) y]/P, which is free of α; here F = Θ c, and c follows ċ = −Γ ℓ'(F y) y/P, so that the
prediction on other samples comes from the same c.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dynamical_loss.losses.margins import MARGIN_LOSSES, MarginLossName
from dynamical_loss.losses.weights import class_weights
from dynamical_loss.models.network import Apply, Parameters
from dynamical_loss.training.gradient_flow import Flow, Rule, Tolerance, flow


class Samples(NamedTuple):
    """A training set.

    Attributes:
        inputs: (sample, …).
        labels: y = ±1, (sample,).
    """

    inputs: jax.Array
    labels: jax.Array


class Tilt(NamedTuple):
    """Γ(t), in the flow's own time.

    Attributes:
        period: T, ().
        amplitude: A, (); 1 is the static loss.
    """

    period: jax.Array | float
    amplitude: jax.Array | float


STATIC = Tilt(1.0, 1.0)
"""No tilt."""

_STEPS_A_PERIOD = 50


class NetworkConstants(NamedTuple):
    """What the flow of a network takes.

    Attributes:
        samples: the training set.
        alpha: α, ().
        start: f(w₀, x) of the training set, (sample,).
        tilt: of the loss.
    """

    samples: Samples
    alpha: jax.Array | float
    start: jax.Array
    tilt: Tilt = STATIC


class KernelConstants(NamedTuple):
    """What the flow of a frozen kernel takes.

    Attributes:
        kernel: Θ on the training set, (sample, sample).
        labels: y = ±1, (sample,).
        tilt: of the loss.
    """

    kernel: jax.Array
    labels: jax.Array
    tilt: Tilt = STATIC


def outputs_of(apply: Apply, parameters: Parameters, inputs: jax.Array) -> jax.Array:
    """The output f of a network with one output, (sample, …) to (sample,)."""
    return apply(parameters, inputs)[:, 0]


def _weight(labels: jax.Array, tilt: Tilt, time: jax.Array, is_tilted: bool) -> jax.Array | float:
    """Γ of each sample, (sample,); the class of y = −1 is the first in turn."""
    if not is_tilted:
        return 1.0
    weights = class_weights(time, tilt.period, tilt.amplitude, 2)
    return jnp.where(labels > 0, weights[1], weights[0])


def _pull(loss: MarginLossName, outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """−ℓ'(F y) y, which moves the prediction of each sample, (sample,)."""
    slope = jax.grad(lambda margin: jnp.sum(MARGIN_LOSSES[loss](margin)))(outputs * labels)
    return jnp.asarray(-slope * labels)


def _followed(
    field: Callable[..., Any],
    labels: jax.Array,
    loss: MarginLossName,
    tolerance: Tolerance,
    closeness: float,
    is_tilted: bool,
) -> Flow:
    """Programs that follow a field whose outputs are predictions; see `network_flow`."""
    of_margin = MARGIN_LOSSES[loss]

    def is_done(outputs: jax.Array) -> jax.Array:
        margins = outputs * labels
        if loss == "soft_hinge":
            return jnp.all(margins >= 1.0)
        return jnp.max(jnp.abs(margins - 1.0)) <= closeness

    def longest(constants: Any) -> jax.Array | float:
        return constants.tilt.period / _STEPS_A_PERIOD if is_tilted else jnp.inf

    half = 0.5 * of_margin(jnp.zeros((), labels.dtype))
    rule = Rule(lambda outputs: jnp.mean(of_margin(outputs * labels)), is_done, half)
    return flow(field, rule, tolerance, longest)


def network_flow(
    apply: Apply,
    labels: jax.Array,
    loss: MarginLossName,
    tolerance: Tolerance,
    closeness: float,
    *,
    is_tilted: bool = False,
) -> Flow:
    """Programs that follow the gradient flow of a network; see `NetworkConstants` and `gradient_flow.Flow`.

    Args:
        apply: (parameters, inputs) → outputs, (sample, 1).
        labels: y = ±1 of the training set, (sample,).
        loss: the base loss. With the soft hinge a flow ends when every margin is at least 1, as in the paper.
        tolerance: of a step.
        closeness: with the squared error a flow ends when every margin is as near to 1 as this.
        is_tilted: whether the loss has class weights.
    """

    def field(
        constants: NetworkConstants, parameters: Parameters, time: jax.Array
    ) -> tuple[Parameters, jax.Array]:
        (inputs, given), alpha, start, tilt = constants
        raw, back = jax.vjp(lambda point: outputs_of(apply, point, inputs), parameters)
        # The same network may be rounded otherwise in another program, and at the start the prediction is 0.
        outputs = jnp.where(time > 0.0, alpha * (raw - start), 0.0)
        pull = _weight(given, tilt, time, is_tilted) * _pull(loss, outputs, given)
        (velocity,) = back(pull / (alpha * len(given)))
        return velocity, outputs

    return _followed(field, labels, loss, tolerance, closeness, is_tilted)


def kernel_flow(
    labels: jax.Array,
    loss: MarginLossName,
    tolerance: Tolerance,
    closeness: float,
    *,
    is_tilted: bool = False,
) -> Flow:
    """Programs that follow the dynamics of a frozen kernel; see `KernelConstants` and `network_flow`.

    The position is c, (sample,), which starts at 0.
    """

    def field(
        constants: KernelConstants, coefficients: jax.Array, time: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        kernel, given, tilt = constants
        outputs = kernel @ coefficients
        pull = _weight(given, tilt, time, is_tilted) * _pull(loss, outputs, given)
        return pull / len(given), outputs

    return _followed(field, labels, loss, tolerance, closeness, is_tilted)


def states_as_arrays(state: Any) -> dict[str, jax.Array]:
    """The leaves of a state by name, for a checkpoint; `state_from_arrays` is the inverse."""
    return {f"state_{index}": leaf for index, leaf in enumerate(jax.tree.leaves(state))}


def state_from_arrays(like: Any, arrays: Mapping[str, Any]) -> Any:
    """A state of the structure of `like`, from what `states_as_arrays` made of it."""
    leaves, structure = jax.tree.flatten(like)
    found = [jnp.asarray(arrays[f"state_{index}"], leaf.dtype) for index, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, found)
