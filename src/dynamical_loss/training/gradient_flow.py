"""Gradient flow by Euler steps of adaptive size (the rule of arXiv 1906.08034, Eq. 8-9).

A trial step of size dt is accepted if it changes the velocity v and the outputs F little:
‖v' − v‖²/(‖v'‖ ‖v‖) < ε_v and max |F' − F| < ε_F.  If both changes are below half their bounds, the next step
is longer by a tenth.  A rejected step is repeated from the same position with dt/10.  Each trial needs one
evaluation, because the velocity at the new position is also the velocity of the next step.

The loop is compiled once for all runs of the same shape.  It runs in stretches, and its state can be saved
between two stretches.  The results do not depend on the length of the stretches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Position = Any
"""Position of a flow, a pytree of arrays: parameters, or the coefficients of an expansion in a kernel."""

Constants = Any
"""Constants of a flow, a pytree of arrays: data, scales, kernels."""

Field = Callable[[Constants, Position, jax.Array], tuple[Position, jax.Array]]
"""Velocity field: (constants, position, time) → (velocity, outputs F on the training set, (sample,))."""

GROWTH = 1.1
"""Factor by which the step size grows if both changes are below half their bounds."""

REDUCTION = 10.0
"""Factor by which the size of a rejected step is divided."""

_RECORDS_PER_DECADE = 20
_RECORDS = 640  # 32 decades of time: more than float64 resolves between a first and a last step


class Tolerance(NamedTuple):
    """Bounds of the changes in an accepted step.

    Attributes:
        velocity: bound ε_v of ‖v' − v‖²/(‖v'‖ ‖v‖); arXiv 1906.08034 uses 1e-4.
        output: bound ε_F of max |F' − F|; arXiv 1906.08034 uses 0.1.
    """

    velocity: float
    output: float


class Rule(NamedTuple):
    """Quantities that are monitored along a flow.

    Attributes:
        loss: loss as a function of the outputs, (sample,) → ().
        is_done: whether the flow has reached its end, as a function of the outputs, (sample,) → ().
        level: level of the loss; the time at which the loss falls below it is stored as `State.half_time`.
    """

    loss: Callable[[jax.Array], jax.Array]
    is_done: Callable[[jax.Array], jax.Array]
    level: Float[Array, ""] | float


class State(NamedTuple):
    """State of a flow after its last accepted step.

    Attributes:
        position: current position.
        velocity: velocity at the position.
        outputs: outputs F on the training set at the position.
        loss: loss at the position.
        time: current time t.
        step_size: size dt of the next trial step.
        steps: number of accepted steps.
        trials: number of evaluations of the field.
        half_time: time at which the loss first fell below the rule's level, interpolated linearly between two
            steps; NaN until then.
        done: whether the flow has reached its end.
        record_count: number of records.
        record_time: times of the records; NaN in unused places.
        record_loss: losses at the records; NaN in unused places.
        record_output: root mean squares of the outputs at the records; NaN in unused places.
    """

    position: Position
    velocity: Position
    outputs: Float[Array, " sample"]
    loss: Float[Array, ""]
    time: Float[Array, ""]
    step_size: Float[Array, ""]
    steps: Int[Array, ""]
    trials: Int[Array, ""]
    half_time: Float[Array, ""]
    done: Bool[Array, ""]
    record_count: Int[Array, ""]
    record_time: Float[Array, " record"]
    record_loss: Float[Array, " record"]
    record_output: Float[Array, " record"]


class Flow(NamedTuple):
    """The compiled programs of a flow.

    Attributes:
        begin: (constants, position, first step size) → state at time 0.
        advance: (constants, state, trials) → state after `trials` evaluations since time 0, or at the end of
            the flow if it comes first.
    """

    begin: Callable[[Constants, Position, float], State]
    advance: Callable[[Constants, State, int], State]


def _inner(first: Position, second: Position) -> Float[Array, ""]:
    parts = jax.tree.map(lambda one, other: jnp.vdot(one, other), first, second)
    return jnp.asarray(sum(jax.tree.leaves(parts)))


def _change(before: Position, after: Position) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return ‖v' − v‖² and ‖v'‖ ‖v‖ for the velocities v before and v' after a step."""
    difference = jax.tree.map(jnp.subtract, after, before)
    return _inner(difference, difference), jnp.sqrt(_inner(before, before) * _inner(after, after))


def flow(
    field: Field,
    rule: Rule,
    tolerance: Tolerance,
    longest: Callable[[Constants], jax.Array | float] = lambda constants: jnp.inf,
) -> Flow:
    """Compile the programs that integrate a velocity field.

    Args:
        field: velocity field.
        rule: quantities that are monitored, and the condition at which the flow ends.
        tolerance: bounds of the changes in a step.
        longest: largest step size, as a function of the constants; defaults to no limit.
    """

    def begin(constants: Constants, position: Position, step_size: float | Float[Array, ""]) -> State:
        velocity, outputs = field(constants, position, jnp.zeros(()))
        real = outputs.dtype
        nothing = jnp.full(_RECORDS, jnp.nan, real)
        return State(
            position,
            velocity,
            outputs,
            rule.loss(outputs),
            jnp.zeros((), real),
            jnp.asarray(jnp.minimum(step_size, longest(constants)), real),
            jnp.zeros((), jnp.int32),
            jnp.ones((), jnp.int32),
            jnp.asarray(jnp.nan, real),
            rule.is_done(outputs),
            jnp.zeros((), jnp.int32),
            nothing,
            nothing,
            nothing,
        )

    def trial(constants: Constants, state: State) -> State:
        size = state.step_size
        position = jax.tree.map(lambda leaf, slope: leaf + size * slope, state.position, state.velocity)
        time = state.time + size
        velocity, outputs = field(constants, position, time)
        squared, norms = _change(state.velocity, velocity)
        moved = jnp.max(jnp.abs(outputs - state.outputs))
        # A comparison with NaN is false, so a step to values that are not finite is rejected.
        accepted = (squared < tolerance.velocity * norms) & (moved < tolerance.output)
        calm = (squared < 0.5 * tolerance.velocity * norms) & (moved < 0.5 * tolerance.output)
        loss = rule.loss(outputs)
        falls = jnp.isnan(state.half_time) & (state.loss >= rule.level) & (loss < rule.level)
        share = (state.loss - rule.level) / (state.loss - loss)
        crossing = state.time + jnp.where(falls, share, 0.0) * size

        count = state.record_count
        last = state.record_time[jnp.maximum(count - 1, 0)]
        due = (count == 0) | (time >= last * 10 ** (1 / _RECORDS_PER_DECADE)) | rule.is_done(outputs)
        place = jnp.minimum(count, _RECORDS - 1)
        root = jnp.sqrt(jnp.mean(outputs**2))

        longer = jnp.minimum(GROWTH * size, longest(constants))

        def recorded(values: Float[Array, " record"], value: Float[Array, ""]) -> Float[Array, " record"]:
            return values.at[place].set(jnp.where(accepted & due, value, values[place]))

        def kept(after: Any, before: Any) -> Any:
            return jax.tree.map(lambda new, old: jnp.where(accepted, new, old), after, before)

        return State(
            kept(position, state.position),
            kept(velocity, state.velocity),
            kept(outputs, state.outputs),
            kept(loss, state.loss),
            kept(time, state.time),
            jnp.where(accepted, jnp.where(calm, longer, size), size / REDUCTION),
            state.steps + accepted,
            state.trials + 1,
            kept(jnp.where(falls, crossing, state.half_time), state.half_time),
            kept(rule.is_done(outputs), state.done),
            jnp.minimum(count + (accepted & due), _RECORDS),
            recorded(state.record_time, time),
            recorded(state.record_loss, loss),
            recorded(state.record_output, root),
        )

    def advance(constants: Constants, state: State, trials: int | Int[Array, ""]) -> State:
        return jax.lax.while_loop(
            lambda here: (here.trials < trials) & ~here.done, lambda here: trial(constants, here), state
        )

    return Flow(jax.jit(begin), jax.jit(advance))
