"""Comparison of flows with gradient descent on losses of one or two parameters (Fig. F1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact

from dynamical_loss.flows import coefficients
from dynamical_loss.flows.fields import Loss, field
from dynamical_loss.flows.integration import Followed, Numbers, descend, follower
from dynamical_loss.flows.names import KINDS, Kind


def quadratic(place: Inexact[Array, " 2"]) -> Inexact[Array, ""]:
    """Compute x² + 0.01 y², whose Hessian has the eigenvalues 2 and 0.02."""
    return place[0] ** 2 + 0.01 * place[1] ** 2


def banana(place: Inexact[Array, " 2"]) -> Inexact[Array, ""]:
    """Compute Rosenbrock's function, (1 − x)² + 100 (y − x²)²."""
    return (1 - place[0]) ** 2 + 100 * (place[1] - place[0] ** 2) ** 2


def cosine(place: Inexact[Array, " 1"]) -> Inexact[Array, ""]:
    """Compute cos θ, which has minima of curvature 1 at odd multiples of π."""
    return jnp.cos(place[0])


class Known(NamedTuple):
    """A loss and the start of the steps on it.

    Attributes:
        loss: loss E, (parameter,) → ().
        start: parameters at the start, (parameter,).
    """

    loss: Loss
    start: tuple[float, ...]


QUADRATIC = Known(quadratic, (-0.35, -0.2))
CURVED = {"banana": Known(banana, (-0.1, 0.1)), "cosine": Known(cosine, (2.6,))}

PATH_SHARPNESS = (0.5, 1.8, 2.1)
"""hλ_max of the paths on the quadratic.  The three paths are a monotonic descent, an oscillation that decays,
and an oscillation that grows."""

PATH_STEPS = 8
"""Number of steps of each path on the quadratic."""

SWEEP_SHARPNESS = tuple(np.round(np.linspace(0.15, 2.65, 26), 3).tolist())
"""Values of hλ_max at the start of the single steps on curved losses; the pole at 1 is not among these
values."""


_COEFFICIENTS: dict[Kind, Callable[[jax.Array], jax.Array]] = {
    "gradient": coefficients.negative_gradient,
    "regularised": coefficients.implicit_regularisation,
    "third_order": coefficients.third_order,
    "principal": coefficients.principal,
    "principal_and_next": coefficients.principal,
}

CURVATURES = tuple(np.round(np.linspace(-1.0, 5.0, 602), 12).tolist())
"""Values of hλ at which coefficients are shown; the pole at 1 is not among these values."""


def coefficient(kind: Kind) -> Complex[Numbers, " curvature"]:
    """Return the complex coefficient of a flow at each of `CURVATURES`, (curvature,)."""
    return np.asarray(_COEFFICIENTS[kind](jnp.asarray(CURVATURES)) + 0j)


class Paths(NamedTuple):
    """Paths on the quadratic, from the start on.

    Attributes:
        descent: parameters of gradient descent, (sharpness, step + 1, parameter).
        flows: complex parameters of each flow, (flow, sharpness, step + 1, parameter).
    """

    descent: Float[Numbers, "sharpness step+1 parameter"]
    flows: Complex[Numbers, "flow sharpness step+1 parameter"]


class Sweep(NamedTuple):
    """Single steps on a curved loss.

    Attributes:
        error: distance of the flow's real part from gradient descent, (flow, sharpness); NaN if stuck.
        imaginary: length of the flow's imaginary part, (flow, sharpness); NaN if stuck.
        evaluations: number of evaluations of the field, (flow, sharpness).
        stuck: 1 if the flow could not be integrated, 0 otherwise, (flow, sharpness).
    """

    error: Float[Numbers, "flow sharpness"]
    imaginary: Float[Numbers, "flow sharpness"]
    evaluations: Float[Numbers, "flow sharpness"]
    stuck: Float[Numbers, "flow sharpness"]


def sharpness_at_start(known: Known) -> float:
    """Compute λ_max at the start of the steps on a loss."""
    start = jnp.asarray(known.start)
    return float(np.linalg.eigvalsh(np.asarray(jax.hessian(known.loss)(start)))[-1])


def paths(tolerance: float, evaluations: int) -> Paths:
    """Compute the paths of gradient descent and of every flow on the quadratic.

    Args:
        tolerance: relative and absolute tolerance of the integrator.
        evaluations: largest number of evaluations of the field in a step of gradient descent.
    """
    steps = [sharpness / sharpness_at_start(QUADRATIC) for sharpness in PATH_SHARPNESS]
    start, count = np.array(QUADRATIC.start), [0.0] * PATH_STEPS
    gradient = jax.grad(QUADRATIC.loss)
    descent = [descend(lambda place, _: gradient(place), count, start, step) for step in steps]
    found = []
    for kind in KINDS:
        follow = _follower(kind, QUADRATIC, tolerance, evaluations)
        found.append([follow(count, start, step).parameters for step in steps])
    return Paths(np.array(descent), np.array(found))


def sweep(known: Known, tolerance: float, evaluations: int) -> Sweep:
    """Compute single steps of every flow, with each of `SWEEP_SHARPNESS`.

    Args:
        known: loss, and the start of the steps.
        tolerance: relative and absolute tolerance of the integrator.
        evaluations: largest number of evaluations of the field in a step of gradient descent.
    """
    start, gradient = np.array(known.start), jax.grad(known.loss)
    steps = [sharpness / sharpness_at_start(known) for sharpness in SWEEP_SHARPNESS]
    columns: list[list[tuple[float, float, int, bool]]] = []
    for kind in KINDS:
        follow = _follower(kind, known, tolerance, evaluations)
        column = []
        for step in steps:
            wanted = descend(lambda place, _: gradient(place), [0.0], start, step)[-1]
            found = follow([0.0], start, step)
            end = found.parameters[-1]
            column.append(
                (
                    float(np.linalg.norm(end.real - wanted)),
                    float(np.linalg.norm(end.imag)),
                    int(found.evaluations[-1]),
                    bool(found.stuck[-1]),
                )
            )
        columns.append(column)
    return Sweep(*(np.array(part) for part in np.moveaxis(np.array(columns), -1, 0)))


def _follower(
    kind: Kind, known: Known, tolerance: float, evaluations: int
) -> Callable[[Any, Inexact[Numbers, " parameter"], float], Followed]:
    """Return the function that integrates a flow on a known loss."""
    order = len(known.start)  # Arnoldi's method is exact if it takes as many steps as there are parameters
    return follower(
        lambda _, step: field(kind, known.loss, step, order), tolerance=tolerance, evaluations=evaluations
    )
