"""Flows along the training of a network, from where gradient descent has come (Fig. F4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.flatten_util import ravel_pytree

from dynamical_loss import losses
from dynamical_loss.flows.fields import Field, field, field_of_pieces
from dynamical_loss.flows.integration import descend, follower
from dynamical_loss.flows.names import Kind

Array = npt.NDArray[Any]
Outputs = Callable[[Any, jax.Array], jax.Array]
"""(parameters, inputs) → (sample, class_index)."""


class Problem(NamedTuple):
    """What is trained.

    Attributes:
        outputs: of the network.
        example: its parameters, a pytree of arrays; their values do not matter.
        inputs: (sample, …).
        targets: one-hot, (sample, class_index).
        loss: ``cross_entropy`` or ``mse``.
        by_output: whether Γ weighs outputs and not samples.
        smooth: whether the network is analytic, so that its parameters may be complex.
    """

    outputs: Outputs
    example: Any
    inputs: Array
    targets: Array
    loss: losses.LossName
    by_output: bool
    smooth: bool


class Trace(NamedTuple):
    """How far a flow is from gradient descent, after 0, 1, … steps.

    Attributes:
        error: distance of the flow's real part from gradient descent, (step + 1,); NaN where stuck.
        imaginary: length of its imaginary part, (step + 1,).
        evaluations: of its field up to there, (step + 1,).
        stuck: whether it could not be integrated, (step + 1,).
    """

    error: Array
    imaginary: Array
    evaluations: Array
    stuck: Array


def weighted_loss(problem: Problem) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The dynamical loss of flat parameters and of Γ; of a smooth network they may be complex."""
    analytic = problem.smooth and problem.loss == "cross_entropy"
    of_sample = _analytic_cross_entropy if analytic else losses.sample_loss(problem.loss)
    unravel: dict[bool, Callable[[jax.Array], Any]] = {
        is_complex: ravel_pytree(jax.tree.map(lambda leaf, to=to: jnp.asarray(leaf, to), problem.example))[1]
        for is_complex, to in ((False, jnp.float64), (True, jnp.complex128))
    }
    inputs, targets = jnp.asarray(problem.inputs, jnp.float64), jnp.asarray(problem.targets, jnp.float64)

    def loss(flat: jax.Array, weights: jax.Array) -> jax.Array:
        logits = problem.outputs(unravel[jnp.iscomplexobj(flat)](flat), inputs)
        return losses.weighted_loss(of_sample, logits, targets, weights, by_output=problem.by_output)

    return loss


def _analytic_cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """`losses.cross_entropy`, which subtracts the largest logit: complex numbers have none."""
    return jnp.log(jnp.sum(jnp.exp(logits), axis=-1)) - jnp.sum(logits * targets, axis=-1)


def sharpness(problem: Problem) -> Callable[[Array, Array], float]:
    """The largest eigenvalue of the weighted loss's Hessian at (parameter,) and Γ; NaN where it diverged."""
    hessian = jax.jit(jax.hessian(weighted_loss(problem)))

    def largest(place: Array, weights: Array) -> float:
        found = np.asarray(hessian(place, weights))
        return float(np.linalg.eigvalsh(found)[-1]) if np.isfinite(found).all() else math.nan

    return largest


def tracer(
    problem: Problem, kind: Kind, *, order: int, tolerance: float, evaluations: int
) -> Callable[[Array, Array, float], Trace]:
    """What follows gradient descent by one flow, compiled once.

    Args:
        problem: what is trained.
        kind: of the flow; on a network that is not smooth one of `KINDS_OF_PIECES`.
        order: Arnoldi steps of the principal flow.
        tolerance: of the integrator, relative and absolute.
        evaluations: of the field in a step, at most.

    Returns:
        a function of the start, (parameter,); of Γ at each step, (step, class_index); and of η.
    """
    loss = weighted_loss(problem)
    slope = jax.grad(loss)

    def fields(weights: Any, step: jax.Array) -> Field:
        make = field if problem.smooth else field_of_pieces
        return make(kind, lambda flat: loss(flat, weights), step, order)

    follow = follower(fields, tolerance=tolerance, evaluations=evaluations)

    def trace(start: Array, weights: Array, rate: float) -> Trace:
        each: Sequence[Array] = list(weights)
        wanted = descend(slope, each, start, rate)
        found = follow(each, start, rate)
        return Trace(
            np.linalg.norm(found.parameters.real - wanted, axis=1),
            np.linalg.norm(found.parameters.imag, axis=1),
            found.evaluations,
            found.stuck,
        )

    return trace
