"""Position of the gradient in the Hessian's spectrum, and the contribution of each class (Fig. F5, F9).

A step of gradient descent overshoots along an eigenvector if ηλ > 1, and the overshoot grows if ηλ > 2.  The
effect on the loss depends on how much of the gradient lies along that eigenvector (arXiv 2302.01952).  The
loss is a sum over classes.  Its curvature along the first eigenvector v₁ and its change by a step are
therefore sums over classes too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dynamical_loss.flows.coefficients import principal

Parts = Callable[[Float[Array, " parameter"]], Float[Array, " class_index"]]
"""(parameter,) → (class_index,): contribution of the samples of each class to the static loss, which is the
mean over all samples."""

STEP_KINDS = ("own", "without_top", "turned")
"""Steps that are tried: the step of gradient descent; this step without its component along v₁; this step
with the component along v₁ replaced by one of the same length along a random direction."""

PLACES = tuple(np.linspace(-1.0, 3.0, 9).tolist())
"""Places along v₁ at which the loss is evaluated, in units of the step's component along v₁.  The step starts
at 0."""

_RANDOM = 3  # purpose of a random key


class Alignment(NamedTuple):
    """Alignment of gradients and eigenvectors at one place.

    A share is a squared cosine.  For a random direction the share is 1 / number of parameters on average.
    This value is the reference for all other shares.  The shares of a gradient that is zero are NaN.

    Attributes:
        gradient_square: ‖g‖² of the weighted loss, ().
        gradient_share: share of the gradient g along each eigenvector, (mode,).
        principal_rate: rate Re α(ηλ)c² at which the principal flow changes the weighted loss along each
            eigenvector, where c is the component of g along it, (mode,); positive if ηλ > 2.
        quadratic_change: −ηc²(1 − ηλ/2), change of the quadratic model of the weighted loss along each
            eigenvector by a step, (mode,).
        class_gradient_share: share of the gradient of each class along each eigenvector, (class_index, mode).
        class_random_share: share of the gradient of each class along a random direction, (class_index,).
        class_sharpness: contribution of each class to λ_max = v₁ᵀHv₁ of the weighted loss, (class_index,).
        class_random_sharpness: contribution of each class to the curvature of the weighted loss along the
            random direction, (class_index,).
        class_change: change of each class's part of the static loss by each of `STEP_KINDS`,
            (step_kind, class_index).
        step_change: change of the weighted loss by each of `STEP_KINDS` at constant Γ, (step_kind,).
        profile: weighted loss at `PLACES` along v₁, (place,).
        random_profile: weighted loss at `PLACES` along the random direction, (place,).
    """

    gradient_square: Float[Array, ""]
    gradient_share: Float[Array, " mode"]
    principal_rate: Float[Array, " mode"]
    quadratic_change: Float[Array, " mode"]
    class_gradient_share: Float[Array, "class_index mode"]
    class_random_share: Float[Array, " class_index"]
    class_sharpness: Float[Array, " class_index"]
    class_random_sharpness: Float[Array, " class_index"]
    class_change: Float[Array, "step_kind class_index"]
    step_change: Float[Array, " step_kind"]
    profile: Float[Array, " place"]
    random_profile: Float[Array, " place"]


def alignment(
    parts: Parts,
    class_weight: Float[Array, " class_index"],
    parameters: Float[Array, " parameter"],
    learning_rate: Float[Array, ""],
    values: Float[Array, " mode"],
    vectors: Float[Array, "parameter mode"],
    key: PRNGKeyArray,
) -> Alignment:
    """Measure gradient, curvature and steps class by class.

    Args:
        parts: contributions of the classes to the static loss.  The weighted loss is their sum, each
            multiplied by its `class_weight`.
        class_weight: class weights Γ, (class_index,).
        parameters: place at which everything is measured, (parameter,).
        learning_rate: η of the step that starts at this place, ().
        values: the largest eigenvalues of the weighted loss's Hessian, descending, (mode,).
        vectors: eigenvectors of `values`, in columns, (parameter, mode).
        key: random key of the random direction.

    Returns:
        `Alignment`.
    """
    with jax.default_matmul_precision("highest"):
        top = vectors[:, 0]
        random = _random_direction(key, top)
        here, pulled = jax.vjp(parts, parameters)
        # One class after another, because all classes at once need too much memory.
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

        def profile(direction: Float[Array, " parameter"]) -> Float[Array, " place"]:
            found: jax.Array = jax.lax.map(
                lambda place: class_weight @ parts(parameters - place * length * direction), places
            )
            return found

        def curvature(direction: Float[Array, " parameter"]) -> Float[Array, " class_index"]:
            def slope(place: Float[Array, " parameter"]) -> Float[Array, " class_index"]:
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


def effective_units(
    vector: Float[Array, " parameter"], units: Int[Array, " parameter"], count: int
) -> Float[Array, ""]:
    """Compute the number of hidden units over which a direction is spread, the inverse participation ratio.

    The ratio is (Σp)²/Σp², where p is the squared length of the part of the direction that belongs to a unit.
    It is 1 if a single unit holds the whole direction.  It equals the number of units if all units hold equal
    parts.

    Args:
        vector: direction in parameter space, (parameter,).
        units: index of the unit to which each parameter belongs, counted from 0, (parameter,); −1 for
            parameters that belong to no unit.
        count: number of hidden units.

    Returns:
        effective number of hidden units, ().
    """
    # `segment_sum` drops parameters with the index −1.
    share = jax.ops.segment_sum(vector**2, units, num_segments=count)
    found: jax.Array = jnp.sum(share) ** 2 / jnp.sum(share**2)
    return found


def _random_direction(key: PRNGKeyArray, like: Float[Array, " parameter"]) -> Float[Array, " parameter"]:
    """Draw a random unit vector with the shape and precision of `like`."""
    random = jax.random.normal(jax.random.fold_in(key, _RANDOM), like.shape, like.dtype)
    found: jax.Array = random / jnp.linalg.norm(random)
    return found
