"""What a stretch of a run would have been without its instabilities (Fig. F11).

From a snapshot on, gradient descent is done twice: with the run's own learning rate η, and with η/k and k
times as many steps, Γ changing as it does in the run.  The bound 2/η of the second is k times as high: it
goes down the valley in which the first one jumps about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dynamical_loss.probes.alignment import Parts
from dynamical_loss.probes.hessian import extreme_eigenvalues

DESCENTS = ("own", "small")
"""With the run's own learning rate, and with a smaller one."""


class Descent(NamedTuple):
    """What descent meets on its way; a place is reached after some of the run's steps.

    Attributes:
        class_loss: each class's part of the static loss, (place, class_index).
        sharpness: λ_max of the weighted loss, (place,).
        static_sharpness: λ_max of the static loss, (place,).
        residual: |Hv − λv| of the two, (place, 2).
    """

    class_loss: jax.Array
    sharpness: jax.Array
    static_sharpness: jax.Array
    residual: jax.Array


def descend(
    parts: Parts,
    start: jax.Array,
    class_weight: jax.Array,
    learning_rate: jax.Array,
    *,
    divide: int,
    every: int,
    order: int,
    key: jax.Array,
) -> Descent:
    """Gradient descent on the weighted loss with η/divide, `divide` steps for each of the run's.

    Args:
        parts: of the static loss; the weighted loss is their sum with Γ.
        start: parameters, (parameter,).
        class_weight: Γ at each step of the run and where it ends, (step + 1, class_index).
        learning_rate: η of the run, ().
        divide: see above; 1 for the run's own steps.
        every: steps of the run between places; it divides their number.
        order: Lanczos steps.
        key: random key of the Lanczos start vector.

    Returns:
        `Descent`, from the start to the end.
    """
    slope: Callable[[jax.Array, jax.Array], jax.Array] = jax.grad(lambda flat, gamma: gamma @ parts(flat))

    def step(flat: jax.Array, gamma: jax.Array) -> tuple[jax.Array, None]:
        def part(_: int, place: jax.Array) -> jax.Array:
            return place - learning_rate / divide * slope(place, gamma)

        return jax.lax.fori_loop(0, divide, part, flat), None

    def stretch(flat: jax.Array, gammas: jax.Array) -> tuple[jax.Array, jax.Array]:
        end = jax.lax.scan(step, flat, gammas)[0]
        return end, end

    def look(item: tuple[jax.Array, jax.Array]) -> Descent:
        flat, gamma = item

        def largest(weights: jax.Array) -> tuple[jax.Array, jax.Array]:
            def loss(place: jax.Array) -> jax.Array:
                return weights @ parts(place)

            found = extreme_eigenvalues(loss, flat, modes=1, order=order, key=key)
            return found.eigenvalue[0], found.residual[0]

        weighted, static = largest(gamma), largest(jnp.ones_like(gamma))
        return Descent(parts(flat), weighted[0], static[0], jnp.stack([weighted[1], static[1]]))

    with jax.default_matmul_precision("highest"):
        blocks = class_weight[:-1].reshape(-1, every, class_weight.shape[1])
        places = jnp.concatenate([start[None], jax.lax.scan(stretch, start, blocks)[1]])
        found: Descent = jax.lax.map(look, (places, class_weight[::every]))
    return found
