"""Integration of flows over steps of gradient descent, and gradient descent itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Complex, Float, Inexact, Int

from dynamical_loss.flows.fields import Field

Numbers = npt.NDArray[Any]

_STAGES = 14  # evaluations of the field in one step of Dormand and Prince's method of order 8


class Followed(NamedTuple):
    """Result of an integration, at the start and after each step of gradient descent.

    Attributes:
        parameters: complex parameters, (step + 1, parameter); NaN from the first step that is stuck.
        evaluations: upper bound of the number of evaluations of the field so far, (step + 1,); the true
            number is smaller, because some stages serve two steps of the integrator.
        stuck: whether this step or an earlier one could not be integrated within its evaluations,
            (step + 1,).  Many evaluations are needed near a pole of the continued loss, and at the branch cut
            of the principal flow's logarithm.
    """

    parameters: Complex[Numbers, "step+1 parameter"]
    evaluations: Int[Numbers, " step+1"]
    stuck: Bool[Numbers, " step+1"]


def follower(
    fields: Callable[[Any, Float[Array, ""]], Field], *, tolerance: float, evaluations: int
) -> Callable[[Iterable[Any], Inexact[Numbers, " parameter"], float], Followed]:
    """Return a function that integrates a flow over one step of gradient descent after another.

    The integration of a step is compiled once.

    Args:
        fields: function that returns the field of a step.  Its arguments are the data that define the loss of
            the step, such as the class weights Γ (a pytree of arrays), and the learning rate h.
        tolerance: relative and absolute tolerance of the adaptive integrator.
        evaluations: largest number of evaluations of the field in a step of gradient descent.

    Returns:
        a function of three arguments: the data that define the loss, one item for each step, because gradient
        descent keeps its class weights constant during a step; the start, real or complex, (parameter,);
        and h.
    """

    @jax.jit
    def advance(
        place: Float[Array, " real_and_imaginary"], loss: Any, step: Float[Array, ""]
    ) -> tuple[Float[Array, " real_and_imaginary"], Int[Array, ""], Bool[Array, ""]]:
        field, size = fields(loss, step), place.size // 2

        def velocity(
            time: Any, split: Float[Array, " real_and_imaginary"], arguments: Any
        ) -> Float[Array, " real_and_imaginary"]:
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

    def follow(losses: Iterable[Any], start: Inexact[Numbers, " parameter"], step: float) -> Followed:
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
    gradient: Callable[[Float[Array, " parameter"], Any], Float[Array, " parameter"]],
    losses: Iterable[Any],
    start: Float[Numbers, " parameter"],
    step: float,
) -> Float[Numbers, "states parameter"]:
    """Run gradient descent.

    Args:
        gradient: gradient of the loss, a function of real parameters and of the data that define the loss.
        losses: data that define the loss, one item for each step.
        start: parameters at the start, (parameter,).
        step: learning rate h.

    Returns:
        parameters at the start and after each step, (step + 1, parameter).
    """
    advance = jax.jit(lambda place, loss: place - step * gradient(place, loss))
    places = [np.asarray(start)]
    for loss in losses:
        places.append(np.asarray(advance(places[-1], loss)))
    return np.array(places)
