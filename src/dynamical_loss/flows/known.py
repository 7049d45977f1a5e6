"""Flows against gradient descent on losses of one or two parameters (Fig. F1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from dynamical_loss.flows import coefficients
from dynamical_loss.flows.fields import Loss, field
from dynamical_loss.flows.integration import Followed, descend, follower
from dynamical_loss.flows.names import KINDS, Kind

Array = npt.NDArray[Any]


def quadratic(place: jax.Array) -> jax.Array:
    """x² + 0.01 y², with the eigenvalues 2 and 0.02."""
    return place[0] ** 2 + 0.01 * place[1] ** 2


def banana(place: jax.Array) -> jax.Array:
    """Rosenbrock's function, (1 − x)² + 100 (y − x²)²."""
    return (1 - place[0]) ** 2 + 100 * (place[1] - place[0] ** 2) ** 2


def cosine(place: jax.Array) -> jax.Array:
    """Cos θ, with minima of curvature 1 at odd multiples of π."""
    return jnp.cos(place[0])


class Known(NamedTuple):
    """A loss and where a step starts on it.

    Attributes:
        loss: E.
        start: (parameter,).
    """

    loss: Loss
    start: tuple[float, ...]


QUADRATIC = Known(quadratic, (-0.35, -0.2))
CURVED = {"banana": Known(banana, (-0.1, 0.1)), "cosine": Known(cosine, (2.6,))}

PATH_SHARPNESS = (0.5, 1.8, 2.1)
"""hλ_max of the paths on the quadratic: straight down, an oscillation that dies out, one that grows."""

PATH_STEPS = 8

SWEEP_SHARPNESS = tuple(np.round(np.linspace(0.15, 2.65, 26), 3).tolist())
"""hλ_max at the start of the single steps on curved losses; the pole at 1 is not among them."""


_COEFFICIENTS: dict[Kind, Callable[[jax.Array], jax.Array]] = {
    "gradient": coefficients.negative_gradient,
    "regularised": coefficients.implicit_regularisation,
    "third_order": coefficients.third_order,
    "principal": coefficients.principal,
    "principal_and_next": coefficients.principal,
}

CURVATURES = tuple(np.round(np.linspace(-1.0, 5.0, 602), 12).tolist())
"""hλ at which coefficients are shown; the pole at 1 is not among them."""


def coefficient(kind: Kind) -> Array:
    """What a flow multiplies the gradient with at each of `CURVATURES`, complex."""
    return np.asarray(_COEFFICIENTS[kind](jnp.asarray(CURVATURES)) + 0j)


class Paths(NamedTuple):
    """Paths on the quadratic.

    Attributes:
        descent: of gradient descent, (sharpness, step, parameter).
        flows: of each flow, complex, (flow, sharpness, step, parameter).
    """

    descent: Array
    flows: Array


class Sweep(NamedTuple):
    """Single steps on a curved loss.

    Attributes:
        error: distance of the flow's real part from gradient descent, (flow, sharpness); NaN where stuck.
        imaginary: length of its imaginary part, the same shape.
        evaluations: of the field, the same shape.
        stuck: whether it could not be integrated, the same shape.
    """

    error: Array
    imaginary: Array
    evaluations: Array
    stuck: Array


def sharpness_at_start(known: Known) -> float:
    """λ_max where a step starts."""
    start = jnp.asarray(known.start)
    return float(np.linalg.eigvalsh(np.asarray(jax.hessian(known.loss)(start)))[-1])


def paths(tolerance: float, evaluations: int) -> Paths:
    """Follow gradient descent on the quadratic by every flow; see `Paths`."""
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
    """One step of each size by every flow; see `Sweep`."""
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
) -> Callable[[Any, Array, float], Followed]:
    order = len(known.start)  # with as many steps f(H)g is exact
    return follower(
        lambda _, step: field(kind, known.loss, step, order), tolerance=tolerance, evaluations=evaluations
    )
