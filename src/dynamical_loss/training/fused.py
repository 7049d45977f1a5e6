"""The paper's own perceptrons on a CPU: one run after the other in the fused loop."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dynamical_loss.losses.weights import Oscillation
from dynamical_loss.training import fused_loop
from dynamical_loss.training.step_size import DriftAdjusted
from dynamical_loss.training.types import (
    RECORDS,
    Array,
    Precision,
    Problem,
    Program,
    Runs,
    Schedule,
    State,
    Stretch,
    learning_rate_factor,
    weights_at,
)

_STRETCH = 4096  # steps: enough that a look from outside costs nothing, few enough to wait for


@functools.partial(jax.jit, static_argnames=("length", "classes", "oscillation"))
def _weights_along(
    start: jax.Array, length: int, run: Runs, classes: int, oscillation: Oscillation
) -> jax.Array:
    """Γ of one run from a step on, (step, class_index)."""
    steps = start + jnp.arange(length, dtype=jnp.int32)
    return jax.vmap(lambda step: weights_at(step, run, classes, oscillation))(steps)


def program(problem: Problem, runs: Runs, schedule: Schedule, precision: Precision) -> Program:
    """One run after the other in the fused loop."""
    perceptron, rule, dtype = problem.perceptron, problem.step_size, np.dtype(precision)
    assert perceptron is not None
    scaled = runs.output_scale is not None

    def loop_with(rule: DriftAdjusted | None) -> fused_loop.Loop:
        return fused_loop.Loop(
            problem.train_inputs,
            problem.train_targets,
            problem.validation_inputs,
            problem.validation_targets,
            network=perceptron,
            precision=precision,
            rule=rule,
            scaled=scaled,
        )

    replays = rule is not None and rule.replayed
    loop = loop_with(None if replays else rule)
    leading = loop_with(rule) if replays else loop
    steps = np.asarray(schedule.record_steps)
    recorded, kept = np.zeros((2, int(steps[-1]) + 1), dtype=bool)
    recorded[steps] = True
    kept[list(schedule.snapshot_steps)] = True
    classes = problem.train_targets.shape[1]

    def begin(runs: Runs) -> State:
        # The leaves in their order are what ravel_pytree joins.
        flat = tuple(
            np.concatenate([leaf[0].ravel() for leaf in jax.tree.leaves(tree)])
            for tree in (runs.parameters, runs.leader)
            if tree is not None
        )
        return *flat, *(loop.starts() if scaled else ())

    def weights_of(run: Runs, stretch: Stretch) -> Array:
        # Of one length, so that it is compiled once; the last stretch may be shorter.
        start, count = np.int32(stretch.start), len(recorded[stretch.start : stretch.start + _STRETCH])
        along = _weights_along(start, _STRETCH, run, classes, problem.oscillation)
        return np.asarray(along)[:count]

    def advance(runs: Runs, state: State, stretch: Stretch) -> tuple[State, dict[str, Array], Array]:
        followed = runs if rule is None or not replays else runs.leading(rule)
        run, leader = (
            jax.tree.map(lambda leaf: leaf[0], each._replace(parameters=(), leader=None))
            for each in (runs, followed)
        )
        here = slice(stretch.start, stretch.start + _STRETCH)
        weights, updates = weights_of(run, stretch), stretch.end - stretch.start
        state = tuple(array.copy() for array in state)
        factor = learning_rate_factor(problem, stretch.start + np.arange(len(weights)))
        scale = float(run.output_scale) if scaled else 1.0
        # The loss of F has α times the slope of that loss as a function of f, and α² divides it.
        rates = (float(run.learning_rate) * factor / scale).astype(dtype)
        if replays:
            nothing = np.zeros_like(recorded[here])
            leading.advance(state[1], rates, weights_of(leader, stretch), updates, recorded[here], nothing)
        found, snapshots = loop.advance(
            state[0],
            rates,
            weights,
            updates,
            recorded[here],
            kept[here],
            output_scale=scale,
            starts=(state[1], state[2]) if scaled else None,
            begins=stretch.start == 0,
        )
        columns = {name: found[None, :, index] for index, name in enumerate(RECORDS)}
        if rule is not None:
            columns["learning_rate"] = rates[None, recorded[here]]
        return state, {"class_weight": weights[recorded[here]][None], **columns}, snapshots[None]

    return Program("fused", 1, schedule.stretches(_STRETCH), begin, advance)
