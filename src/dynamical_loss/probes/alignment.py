"""The gradient's place in the Hessian's spectrum, and what each class does to a step (Fig. F5, F9).

A step of gradient descent overshoots along an eigenvector where ηλ > 1, and grows there where ηλ > 2.  What
that does to the loss depends on how much of the gradient lies along it (arXiv 2302.01952).  And the loss is a
sum over classes, and so are its curvature along the first eigenvector v₁ and its change by a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dynamical_loss.flows.coefficients import principal

Parts = Callable[[jax.Array], jax.Array]
"""(parameter,) → (class_index,): what the samples of each class add to the static loss, the mean over all."""

STEP_KINDS = ("own", "without_top", "turned")
"""Steps that are tried: that of gradient descent; without its part along v₁; with that part turned into a
random direction, as long as it was."""

PLACES = tuple(np.linspace(-1.0, 3.0, 9).tolist())
"""Where the loss is looked at along v₁, in units of the step's part along it: 0 is where the step starts."""

_RANDOM = 3  # purpose of a random key


class Alignment(NamedTuple):
    """What is measured at one place.

    A share is a squared cosine.  Of a random direction it is 1 / number of parameters on average, and all
    others are held against that.  Shares of a gradient that is zero are NaN.

    Attributes:
        gradient_square: ‖g‖² of the weighted loss, ().
        gradient_share: share of g along each eigenvector, (mode,).
        principal_rate: rate Re α(ηλ)c² at which the principal flow changes the weighted loss along each
            eigenvector, c being g's component there, (mode,); positive where ηλ > 2.
        quadratic_change: −ηc²(1 − ηλ/2), by which a step changes the loss's quadratic model there, (mode,).
        class_gradient_share: share of each class's own gradient along each eigenvector, (class_index, mode).
        class_random_share: of each class's gradient along a random direction, (class_index,).
        class_sharpness: what each class adds to λ_max = v₁ᵀHv₁ of the weighted loss, (class_index,).
        class_random_sharpness: what it adds to the curvature along the random direction, (class_index,).
        class_change: change of each class's part of the static loss by each of `STEP_KINDS`,
            (step_kind, class_index).
        step_change: change of the weighted loss by each of them, Γ held, (step_kind,).
        profile: weighted loss at `PLACES` along v₁, (place,).
        random_profile: the same along the random direction, (place,).
    """

    gradient_square: jax.Array
    gradient_share: jax.Array
    principal_rate: jax.Array
    quadratic_change: jax.Array
    class_gradient_share: jax.Array
    class_random_share: jax.Array
    class_sharpness: jax.Array
    class_random_sharpness: jax.Array
    class_change: jax.Array
    step_change: jax.Array
    profile: jax.Array
    random_profile: jax.Array


def alignment(
    parts: Parts,
    class_weight: jax.Array,
    parameters: jax.Array,
    learning_rate: jax.Array,
    values: jax.Array,
    vectors: jax.Array,
    key: jax.Array,
) -> Alignment:
    """Measure gradient, curvature and steps class by class.

    Args:
        parts: of the static loss; the weighted loss is their sum with `class_weight`.
        class_weight: Γ, (class_index,).
        parameters: where, (parameter,).
        learning_rate: η of the step that is taken here, ().
        values: the largest eigenvalues of the weighted loss's Hessian, descending, (mode,).
        vectors: their eigenvectors, in columns, (parameter, mode).
        key: random key of the random direction.

    Returns:
        `Alignment`.
    """
    with jax.default_matmul_precision("highest"):
        top = vectors[:, 0]
        random = _random_direction(key, top)
        here, pulled = jax.vjp(parts, parameters)
        # One class after the other: side by side they would take the memory of all.
        each = jax.lax.map(lambda chosen: pulled(chosen)[0], jnp.eye(len(here), dtype=here.dtype))
        gradient = class_weight @ each
        square = gradient @ gradient
        along = (gradient @ vectors) ** 2
        multiple = learning_rate * values
        squares = jnp.sum(each**2, axis=1)
        length = learning_rate * (gradient @ top)
        rest = -learning_rate * gradient + length * top
        steps = jnp.stack([rest - length * top, rest, rest - length * random])
        changes = jax.lax.map(lambda step: parts(parameters + step) - here, steps)
        places = jnp.asarray(PLACES, parameters.dtype)

        def profile(direction: jax.Array) -> jax.Array:
            found: jax.Array = jax.lax.map(
                lambda place: class_weight @ parts(parameters - place * length * direction), places
            )
            return found

        def curvature(direction: jax.Array) -> jax.Array:
            def slope(place: jax.Array) -> jax.Array:
                found: jax.Array = jax.jvp(parts, (place,), (direction,))[1]
                return found

            found: jax.Array = jax.jvp(slope, (parameters,), (direction,))[1]
            return class_weight * found

        return Alignment(
            square,
            along / square,
            principal(multiple).real * along,
            -learning_rate * along * (1 - multiple / 2),
            (each @ vectors) ** 2 / squares[:, None],
            (each @ random) ** 2 / squares,
            curvature(top),
            curvature(random),
            changes,
            changes @ class_weight,
            profile(top),
            profile(random),
        )


def effective_units(vector: jax.Array, units: jax.Array, count: int) -> jax.Array:
    """Over how many hidden units a direction is spread: the inverse participation ratio.

    It is (Σp)²/Σp², with p the squared length of the part of the direction that belongs to a unit: 1 if a
    single one has all of it, and their number if all have the same.

    Args:
        vector: (parameter,).
        units: to which unit each parameter belongs, (parameter,), from 0; −1 if to none.
        count: of hidden units.
    """
    # What lies outside of the segments is left out.
    share = jax.ops.segment_sum(vector**2, units, num_segments=count)
    found: jax.Array = jnp.sum(share) ** 2 / jnp.sum(share**2)
    return found


def _random_direction(key: jax.Array, like: jax.Array) -> jax.Array:
    random = jax.random.normal(jax.random.fold_in(key, _RANDOM), like.shape, like.dtype)
    found: jax.Array = random / jnp.linalg.norm(random)
    return found
