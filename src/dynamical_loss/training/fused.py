"""The paper's own perceptrons on a CPU: one run after the other in the fused loop."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dynamical_loss.losses.weights import Oscillation
from dynamical_loss.training import fused_loop
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


def program(problem: Problem, schedule: Schedule, precision: Precision) -> Program:
    """One run after the other in the fused loop."""
    assert problem.perceptron is not None
    loop = fused_loop.Loop(
        problem.train_inputs,
        problem.train_targets,
        problem.validation_inputs,
        problem.validation_targets,
        network=problem.perceptron,
        precision=precision,
    )
    steps = np.asarray(schedule.record_steps)
    recorded, kept = np.zeros((2, int(steps[-1]) + 1), dtype=bool)
    recorded[steps] = True
    kept[list(schedule.snapshot_steps)] = True
    classes = problem.train_targets.shape[1]

    def begin(runs: Runs) -> State:
        # The leaves in their order are what ravel_pytree joins.
        return np.concatenate([leaf[0].ravel() for leaf in jax.tree.leaves(runs.parameters)])

    def advance(runs: Runs, state: State, stretch: Stretch) -> tuple[State, dict[str, Array], Array]:
        run = jax.tree.map(lambda leaf: leaf[0], runs._replace(parameters=()))
        here = slice(stretch.start, stretch.start + _STRETCH)
        # Of one length, so that it is compiled once; the last stretch may be shorter.
        start, count = np.int32(stretch.start), len(recorded[here])
        weights = np.asarray(_weights_along(start, _STRETCH, run, classes, problem.oscillation))[:count]
        state = state.copy()
        found, snapshots = loop.advance(
            state,
            float(run.learning_rate),
            weights,
            stretch.end - stretch.start,
            recorded[here],
            kept[here],
        )
        columns = {name: found[None, :, index] for index, name in enumerate(RECORDS)}
        return state, {"class_weight": weights[recorded[here]][None], **columns}, snapshots[None]

    return Program("fused", 1, schedule.stretches(_STRETCH), begin, advance)
