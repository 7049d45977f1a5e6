"""Flows along the training of a network, started from snapshots of gradient descent (Fig. F4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Inexact, Int

from dynamical_loss import losses
from dynamical_loss.arrays import AnyArray
from dynamical_loss.flows.fields import Field, field, field_of_pieces
from dynamical_loss.flows.integration import Numbers, descend, follower
from dynamical_loss.flows.names import Kind

Outputs = Callable[[Any, Inexact[Array, "sample ..."]], Inexact[Array, "sample class_index"]]
"""(parameters, inputs) → (sample, class_index)."""


class Problem(NamedTuple):
    """Network, data and loss of a training.

    Attributes:
        outputs: function that computes the outputs of the network.
        example: parameters of the network, a pytree of arrays; only their shapes matter.
        inputs: inputs of the network, (sample, …).
        targets: one-hot labels, (sample, class_index).
        loss: name of the base loss: ``cross_entropy`` or ``mse``.
        by_output: whether Γ multiplies the losses of outputs instead of those of samples.
        smooth: whether the network is analytic, so that its parameters may be complex.
    """

    outputs: Outputs
    example: Any
    inputs: Float[Numbers, "sample ..."]
    targets: Float[Numbers, "sample class_index"]
    loss: losses.LossName
    by_output: bool
    smooth: bool


class Trace(NamedTuple):
    """Distance between a flow and gradient descent after 0, 1, … steps.

    Attributes:
        error: distance of the flow's real part from gradient descent, (step + 1,); NaN if stuck.
        imaginary: length of the flow's imaginary part, (step + 1,); NaN if stuck.
        evaluations: number of evaluations of the flow's field so far, (step + 1,).
        stuck: whether the flow could not be integrated up to this step, (step + 1,).
    """

    error: Float[Numbers, " step+1"]
    imaginary: Float[Numbers, " step+1"]
    evaluations: Int[Numbers, " step+1"]
    stuck: Bool[Numbers, " step+1"]


def weighted_loss(
    problem: Problem,
) -> Callable[[Inexact[Array, " parameter"], Float[AnyArray, " class_index"]], Inexact[Array, ""]]:
    """Return the dynamical loss as a function of the flat parameters, (parameter,), and of Γ, (class_index,).

    The parameters of a smooth network may be complex.
    """
    analytic = problem.smooth and problem.loss == "cross_entropy"
    of_sample = _analytic_cross_entropy if analytic else losses.sample_loss(problem.loss)
    unravel: dict[bool, Callable[[jax.Array], Any]] = {
        is_complex: ravel_pytree(jax.tree.map(lambda leaf, to=to: jnp.asarray(leaf, to), problem.example))[1]
        for is_complex, to in ((False, jnp.float64), (True, jnp.complex128))
    }
    inputs, targets = jnp.asarray(problem.inputs, jnp.float64), jnp.asarray(problem.targets, jnp.float64)

    def loss(
        flat: Inexact[Array, " parameter"], weights: Float[AnyArray, " class_index"]
    ) -> Inexact[Array, ""]:
        logits = problem.outputs(unravel[jnp.iscomplexobj(flat)](flat), inputs)
        return losses.weighted_loss(of_sample, logits, targets, weights, by_output=problem.by_output)

    return loss


def _analytic_cross_entropy(
    logits: Inexact[Array, "sample class_index"], targets: Float[Array, "sample class_index"]
) -> Inexact[Array, " sample"]:
    """Compute the cross-entropy of complex logits.

    `losses.cross_entropy` subtracts the largest logit, which complex numbers do not have.
    """
    return jnp.log(jnp.sum(jnp.exp(logits), axis=-1)) - jnp.sum(logits * targets, axis=-1)


def sharpness(
    problem: Problem,
) -> Callable[[Float[Numbers, " parameter"], Float[Numbers, " class_index"]], float]:
    """Return a function that computes the largest eigenvalue of the weighted loss's Hessian.

    Its arguments are the flat parameters, (parameter,), and Γ, (class_index,).  Its result is NaN if the
    Hessian is not finite.
    """
    hessian = jax.jit(jax.hessian(weighted_loss(problem)))

    def largest(place: Float[Numbers, " parameter"], weights: Float[Numbers, " class_index"]) -> float:
        found = np.asarray(hessian(place, weights))
        return float(np.linalg.eigvalsh(found)[-1]) if np.isfinite(found).all() else math.nan

    return largest


def tracer(
    problem: Problem, kind: Kind, *, order: int, tolerance: float, evaluations: int
) -> Callable[[Float[Numbers, " parameter"], Float[Numbers, "step class_index"], float], Trace]:
    """Return a function that compares a flow with gradient descent; its program is compiled once.

    Args:
        problem: network, data and loss.
        kind: kind of flow; for a network that is not smooth, one of `KINDS_OF_PIECES`.
        order: number of Arnoldi steps of the principal flow.
        tolerance: relative and absolute tolerance of the integrator.
        evaluations: largest number of evaluations of the field in a step of gradient descent.

    Returns:
        a function of the parameters at the start, (parameter,), of Γ at each step, (step, class_index), and
        of η.
    """
    loss = weighted_loss(problem)
    slope = jax.grad(loss)

    def fields(weights: Float[Array, " class_index"], step: Float[Array, ""]) -> Field:
        make = field if problem.smooth else field_of_pieces
        return make(kind, lambda flat: loss(flat, weights), step, order)

    follow = follower(fields, tolerance=tolerance, evaluations=evaluations)

    def trace(
        start: Float[Numbers, " parameter"], weights: Float[Numbers, "step class_index"], rate: float
    ) -> Trace:
        each: Sequence[Numbers] = list(weights)
        wanted = descend(slope, each, start, rate)
        found = follow(each, start, rate)
        return Trace(
            np.linalg.norm(found.parameters.real - wanted, axis=1),
            np.linalg.norm(found.parameters.imag, axis=1),
            found.evaluations,
            found.stuck,
        )

    return trace
