"""Gradient flow by Euler steps whose size follows the flow: the adaptive rule of arXiv 1906.08034, Eq. 8-9.

A trial step of size dt is accepted if the velocity v and the outputs F change little by it:
‖v' − v‖²/(‖v'‖ ‖v‖) < ε_v and max |F' − F| < ε_F.  Accepted with both below half their bounds, the next
step is longer by a tenth.  Rejected, the step is done again from the same place with dt/10.  There is one
evaluation a trial, as the velocity at the new place is that of the next step.

The loop is compiled once for all runs of one shape.  It runs in stretches, between which its whole state can
be kept, and its numbers do not depend on how long the stretches are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Position = Any
"""What flows, a pytree of arrays: parameters, or the coefficients of a kernel's expansion."""

Constants = Any
"""What the flow takes beside its position and does not change: data, scales, kernels."""

Field = Callable[[Constants, Position, jax.Array], tuple[Position, jax.Array]]
"""(constants, position, time) → velocity, and the outputs F on the training set, (sample,)."""

GROWTH = 1.1
"""What a step is multiplied with after a calm one."""

REDUCTION = 10.0
"""What a rejected step is divided by."""

_RECORDS_PER_DECADE = 20
_RECORDS = 640  # 32 decades of time: more than float64 resolves between a first and a last step


class Tolerance(NamedTuple):
    """What a step may change at most.

    Attributes:
        velocity: ε_v, of ‖v' − v‖²/(‖v'‖ ‖v‖); the paper has 1e-4.
        output: ε_F, of max |F' − F|; the paper has 0.1.
    """

    velocity: float
    output: float


class Rule(NamedTuple):
    """What is looked at along a flow.

    Attributes:
        loss: of the outputs, (sample,) → ().
        is_done: whether the flow has come to its end, (sample,) → ().
        level: the time at which the loss falls below this is kept.
    """

    loss: Callable[[jax.Array], jax.Array]
    is_done: Callable[[jax.Array], jax.Array]
    level: jax.Array | float


class State(NamedTuple):
    """Where a flow is.

    Attributes:
        position: at the last accepted step.
        velocity: there.
        outputs: there, (sample,).
        loss: there, ().
        time: there, ().
        step_size: dt of the next trial, ().
        steps: accepted so far, ().
        trials: evaluations so far, ().
        half_time: when the loss first fell below the rule's level, between two steps on a straight line, ();
            NaN until then.
        done: whether it has come to its end, ().
        record_count: how many records there are, ().
        record_time: (record,), NaN where there is none.
        record_loss: (record,).
        record_output: root mean square of the outputs, (record,).
    """

    position: Position
    velocity: Position
    outputs: jax.Array
    loss: jax.Array
    time: jax.Array
    step_size: jax.Array
    steps: jax.Array
    trials: jax.Array
    half_time: jax.Array
    done: jax.Array
    record_count: jax.Array
    record_time: jax.Array
    record_loss: jax.Array
    record_output: jax.Array


class Flow(NamedTuple):
    """The compiled programs of a flow.

    Attributes:
        begin: (constants, position, first step size) → state at time 0.
        advance: (constants, state, trials) → state after that many evaluations in all, or at its end.
    """

    begin: Callable[[Constants, Position, float], State]
    advance: Callable[[Constants, State, int], State]


def _inner(first: Position, second: Position) -> jax.Array:
    parts = jax.tree.map(lambda one, other: jnp.vdot(one, other), first, second)
    return jnp.asarray(sum(jax.tree.leaves(parts)))


def _change(before: Position, after: Position) -> tuple[jax.Array, jax.Array]:
    """‖v' − v‖² and ‖v'‖ ‖v‖."""
    difference = jax.tree.map(jnp.subtract, after, before)
    return _inner(difference, difference), jnp.sqrt(_inner(before, before) * _inner(after, after))


def flow(
    field: Field,
    rule: Rule,
    tolerance: Tolerance,
    longest: Callable[[Constants], jax.Array | float] = lambda constants: jnp.inf,
) -> Flow:
    """The programs that follow a field.

    Args:
        field: the velocity and the outputs.
        rule: what is looked at along the way, and when the flow ends.
        tolerance: of a step.
        longest: of the constants, the length that no step exceeds.
    """

    def begin(constants: Constants, position: Position, step_size: float) -> State:
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
        # Where a comparison is with what is not finite, it fails: the step is rejected.
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

        def recorded(values: jax.Array, value: jax.Array) -> jax.Array:
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

    def advance(constants: Constants, state: State, trials: int) -> State:
        return jax.lax.while_loop(
            lambda here: (here.trials < trials) & ~here.done, lambda here: trial(constants, here), state
        )

    return Flow(jax.jit(begin), jax.jit(advance))
