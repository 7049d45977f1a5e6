"""Gradient flow of a network, and of its frozen kernel, on labels y = ±1 (arXiv 1906.08034).

The prediction is F(x) = α[f(w, x) − f(w₀, x)], and the loss is 𝓛(w) = Σ_μ Γ_{y_μ}(t) ℓ(F(x_μ) y_μ)/(α² P)
with P samples.  The loss of that paper has no Γ.

If the neural tangent kernel Θ of f is frozen, the prediction follows Ḟ = −Θ [Γ ℓ'(F y) y]/P, which does not
depend on α.  This module writes F = Θ c and integrates ċ = −Γ ℓ'(F y) y/P.  The same coefficients c then also
give the prediction on other samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dynamical_loss.losses.margins import MARGIN_LOSSES, MarginLossName
from dynamical_loss.losses.weights import class_weights
from dynamical_loss.models.network import Apply, Parameters
from dynamical_loss.training.gradient_flow import Flow, Rule, Tolerance, flow


class Samples(NamedTuple):
    """A training set.

    Attributes:
        inputs: inputs x of the network.
        labels: labels y = ±1.
    """

    inputs: Float[Array, "sample ..."]
    labels: Float[Array, " sample"]


class Tilt(NamedTuple):
    """Oscillation of the class weights Γ(t), where t is the time of the flow.

    Attributes:
        period: period T, in units of the flow's time.
        amplitude: amplitude A; 1 is the static loss.
    """

    period: Float[Array, ""] | float
    amplitude: Float[Array, ""] | float


STATIC = Tilt(1.0, 1.0)
"""The static loss, Γ = 1."""

_STEPS_A_PERIOD = 50  # least number of steps in a period


class NetworkConstants(NamedTuple):
    """Constants of the flow of a network.

    Attributes:
        samples: training set.
        alpha: scale α of the prediction.
        start: initial outputs f(w₀, x) on the training set.
        tilt: oscillation of the class weights.
    """

    samples: Samples
    alpha: Float[Array, ""] | float
    start: Float[Array, " sample"]
    tilt: Tilt = STATIC


class KernelConstants(NamedTuple):
    """Constants of the flow of a frozen kernel.

    Attributes:
        kernel: neural tangent kernel Θ on the training set.
        labels: labels y = ±1.
        tilt: oscillation of the class weights.
    """

    kernel: Float[Array, "sample sample"]
    labels: Float[Array, " sample"]
    tilt: Tilt = STATIC


def outputs_of(
    apply: Apply, parameters: Parameters, inputs: Float[Array, "sample ..."]
) -> Float[Array, " sample"]:
    """Return the outputs f of a network that has one output per sample."""
    return apply(parameters, inputs)[:, 0]


def _weight(
    labels: Float[Array, " sample"], tilt: Tilt, time: Float[Array, ""], is_tilted: bool
) -> Float[Array, " sample"] | float:
    """Return the class weight Γ of each sample; the class y = −1 is emphasised first."""
    if not is_tilted:
        return 1.0
    weights = class_weights(time, tilt.period, tilt.amplitude, 2)
    return jnp.where(labels > 0, weights[1], weights[0])


def _pull(
    loss: MarginLossName, outputs: Float[Array, " sample"], labels: Float[Array, " sample"]
) -> Float[Array, " sample"]:
    """Return −ℓ'(F y) y for each sample, the negative derivative of its loss with respect to F."""
    slope = jax.grad(lambda margin: jnp.sum(MARGIN_LOSSES[loss](margin)))(outputs * labels)
    return jnp.asarray(-slope * labels)


def _followed(
    field: Callable[..., Any],
    labels: Float[Array, " sample"],
    loss: MarginLossName,
    tolerance: Tolerance,
    closeness: float,
    is_tilted: bool,
) -> Flow:
    """Compile the programs that integrate a field whose outputs are predictions F; see `network_flow`."""
    of_margin = MARGIN_LOSSES[loss]

    def is_done(outputs: Float[Array, " sample"]) -> Bool[Array, ""]:
        margins = outputs * labels
        if loss == "soft_hinge":
            return jnp.all(margins >= 1.0)
        return jnp.max(jnp.abs(margins - 1.0)) <= closeness

    def longest(constants: Any) -> Float[Array, ""] | float:
        return constants.tilt.period / _STEPS_A_PERIOD if is_tilted else jnp.inf

    half = 0.5 * of_margin(jnp.zeros((), labels.dtype))
    rule = Rule(lambda outputs: jnp.mean(of_margin(outputs * labels)), is_done, half)
    return flow(field, rule, tolerance, longest)


def network_flow(
    apply: Apply,
    labels: Float[Array, " sample"],
    loss: MarginLossName,
    tolerance: Tolerance,
    closeness: float,
    *,
    is_tilted: bool = False,
) -> Flow:
    """Compile the programs that integrate the gradient flow of a network.

    The programs take `NetworkConstants`; see `gradient_flow.Flow`.

    Args:
        apply: function of the network, (parameters, inputs) → outputs (sample, 1).
        labels: labels y = ±1 of the training set.
        loss: name of the base loss.  With the soft hinge, the flow ends when all margins are at least 1, as
            in arXiv 1906.08034.
        tolerance: bounds of the changes in a step.
        closeness: with the squared error, the flow ends when the distance of every margin from 1 is at most
            this.
        is_tilted: whether the loss has class weights.
    """

    def field(
        constants: NetworkConstants, parameters: Parameters, time: Float[Array, ""]
    ) -> tuple[Parameters, Float[Array, " sample"]]:
        (inputs, given), alpha, start, tilt = constants
        raw, back = jax.vjp(lambda point: outputs_of(apply, point, inputs), parameters)
        # Another program computed f(w₀, x) and may have rounded differently; at time 0, F must still be
        # exactly 0.
        outputs = jnp.where(time > 0.0, alpha * (raw - start), 0.0)
        pull = _weight(given, tilt, time, is_tilted) * _pull(loss, outputs, given)
        (velocity,) = back(pull / (alpha * len(given)))
        return velocity, outputs

    return _followed(field, labels, loss, tolerance, closeness, is_tilted)


def kernel_flow(
    labels: Float[Array, " sample"],
    loss: MarginLossName,
    tolerance: Tolerance,
    closeness: float,
    *,
    is_tilted: bool = False,
) -> Flow:
    """Compile the programs that integrate the dynamics of a frozen kernel.

    The programs take `KernelConstants`; the arguments are those of `network_flow`.  The position of the flow
    is the coefficients c, (sample,), which start at 0.
    """

    def field(
        constants: KernelConstants, coefficients: Float[Array, " sample"], time: Float[Array, ""]
    ) -> tuple[Float[Array, " sample"], Float[Array, " sample"]]:
        kernel, given, tilt = constants
        outputs = kernel @ coefficients
        pull = _weight(given, tilt, time, is_tilted) * _pull(loss, outputs, given)
        return pull / len(given), outputs

    return _followed(field, labels, loss, tolerance, closeness, is_tilted)
