"""Flows integrated over steps of gradient descent, and how far they end from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from dynamical_loss.flows.fields import Field

Array = npt.NDArray[Any]

_STAGES = 14  # evaluations of the field in a step of Dormand and Prince's method of order 8


class Followed(NamedTuple):
    """What an integration leaves.

    Attributes:
        parameters: after each step, complex, (step + 1, parameter); NaN from where it was stuck.
        evaluations: of the field up to there, (step + 1,), at most: some stages serve two steps.
        stuck: whether a step could not be integrated within its evaluations, (step + 1,): near a pole of the
            continued loss they become many, and at the cut of the principal flow's logarithm.
    """

    parameters: Array
    evaluations: Array
    stuck: Array


def follower(
    fields: Callable[[Any, jax.Array], Field], *, tolerance: float, evaluations: int
) -> Callable[[Iterable[Any], Array, float], Followed]:
    """What integrates a flow over one step of gradient descent after the other, compiled once.

    Args:
        fields: the field of what tells losses apart, such as the class weights Γ of a step, a pytree of
            arrays, and of the step h.
        tolerance: relative and absolute, of the adaptive integrator.
        evaluations: of the field in a step, at most.

    Returns:
        a function of the losses, one a step, as gradient descent holds its class weights over a step; of the
        start, real or complex, (parameter,); and of h.
    """

    @jax.jit
    def advance(place: jax.Array, loss: Any, step: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        field, size = fields(loss, step), place.size // 2

        def velocity(time: Any, split: jax.Array, arguments: Any) -> jax.Array:
            found = field(split[:size] + 1j * split[size:])
            return jnp.concatenate([found.real, found.imag])

        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(velocity),
            diffrax.Dopri8(),
            t0=0.0,
            t1=step,
            dt0=None,
            y0=place,
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=max(1, evaluations // _STAGES),
            throw=False,
            adjoint=diffrax.ForwardMode(),
        )
        ended = solution.result == diffrax.RESULTS.successful
        assert solution.ys is not None
        end = jnp.where(ended, solution.ys[-1], jnp.nan)
        return end, solution.stats["num_steps"], ~ended

    def follow(losses: Iterable[Any], start: Array, step: float) -> Followed:
        size = len(start)
        place = jnp.concatenate([jnp.asarray(start).real, jnp.asarray(start).imag])
        places, counts, stuck = [np.asarray(place)], [0], [False]
        for loss in losses:
            if stuck[-1]:
                places.append(np.full_like(places[0], np.nan))
                counts.append(counts[-1])
                stuck.append(True)
                continue
            place, count, failed = advance(place, loss, jnp.asarray(step))
            places.append(np.asarray(place))
            counts.append(counts[-1] + _STAGES * int(count))
            stuck.append(bool(failed))
        split = np.array(places)
        return Followed(split[:, :size] + 1j * split[:, size:], np.array(counts), np.array(stuck))

    return follow


def descend(
    gradient: Callable[[jax.Array, Any], jax.Array], losses: Iterable[Any], start: Array, step: float
) -> Array:
    """Gradient descent itself, (step + 1, parameter).

    Args:
        gradient: of the loss, of real parameters and what tells the losses apart.
        losses: that of each step.
        start: (parameter,).
        step: h.
    """
    advance = jax.jit(lambda place, loss: place - step * gradient(place, loss))
    places = [np.asarray(start)]
    for loss in losses:
        places.append(np.asarray(advance(places[-1], loss)))
    return np.array(places)
