"""A stretch of a run, repeated without its instabilities (Fig. F11).

Gradient descent is repeated twice from a snapshot: once with the run's learning rate η, and once with η/k and
k times as many steps.  Γ changes as in the run.  The stability bound of the second descent is 2k/η, k times
as high.  The second descent therefore follows the valley in which the first one oscillates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dynamical_loss.probes.alignment import Parts
from dynamical_loss.probes.hessian import extreme_eigenvalues

DESCENTS = ("own", "small")
"""Descents: with the run's own learning rate, and with a smaller one."""


class Descent(NamedTuple):
    """Losses and sharpness along a descent, at places that are some of the run's steps apart.

    Attributes:
        class_loss: each class's part of the static loss, (place, class_index).
        sharpness: λ_max of the weighted loss, (place,).
        static_sharpness: λ_max of the static loss, (place,).
        residual: |Hv − λv| of `sharpness` and of `static_sharpness`, (place, 2).
    """

    class_loss: Float[Array, "place class_index"]
    sharpness: Float[Array, " place"]
    static_sharpness: Float[Array, " place"]
    residual: Float[Array, "place 2"]


def descend(
    parts: Parts,
    start: Float[Array, " parameter"],
    class_weight: Float[Array, "step_and_end class_index"],
    learning_rate: Float[Array, ""],
    *,
    divide: int,
    every: int,
    order: int,
    key: PRNGKeyArray,
) -> Descent:
    """Run gradient descent on the weighted loss with the learning rate η/divide.

    Each step of the run is replaced by `divide` steps.

    Args:
        parts: contributions of the classes to the static loss.  The weighted loss is their sum, each
            multiplied by its class weight.
        start: parameters at the start, (parameter,).
        class_weight: class weights Γ at each step of the run and at the end, (step + 1, class_index).
        learning_rate: η of the run, ().
        divide: number of steps that replace one step of the run; 1 repeats the run's own steps.
        every: number of the run's steps between two places; must divide the number of steps.
        order: number of Lanczos steps.
        key: random key of the Lanczos start vector.

    Returns:
        `Descent`, from the start to the end.
    """
    slope: Callable[[jax.Array, jax.Array], jax.Array] = jax.grad(lambda flat, gamma: gamma @ parts(flat))

    def step(
        flat: Float[Array, " parameter"], gamma: Float[Array, " class_index"]
    ) -> tuple[Float[Array, " parameter"], None]:
        def part(_: Any, place: Float[Array, " parameter"]) -> Float[Array, " parameter"]:
            return place - learning_rate / divide * slope(place, gamma)

        return jax.lax.fori_loop(0, divide, part, flat), None

    def stretch(
        flat: Float[Array, " parameter"], gammas: Float[Array, "step class_index"]
    ) -> tuple[Float[Array, " parameter"], Float[Array, " parameter"]]:
        end = jax.lax.scan(step, flat, gammas)[0]
        return end, end

    def look(item: tuple[Float[Array, " parameter"], Float[Array, " class_index"]]) -> Descent:
        flat, gamma = item

        def largest(weights: Float[Array, " class_index"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
            def loss(place: Float[Array, " parameter"]) -> Float[Array, ""]:
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
