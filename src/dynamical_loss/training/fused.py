"""The fused engine: it trains the perceptrons of the paper on a CPU, one run after another."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from dynamical_loss.losses.weights import Oscillation
from dynamical_loss.training import fused_loop, fused_vectors
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

COMPILER = f"numba with vectors of {8 * fused_vectors.BYTES} bits"

_STRETCH = 4096  # number of steps in a stretch; see the same constant in `xla`


@functools.partial(jax.jit, static_argnames=("length", "classes", "oscillation"))
def _weights_along(
    start: Integer[jax.Array, ""], length: int, run: Runs, classes: int, oscillation: Oscillation
) -> Float[jax.Array, "step class_index"]:
    """Return the class weights Γ of one run at `length` steps from the step `start`."""
    steps = start + jnp.arange(length, dtype=jnp.int32)
    return jax.vmap(lambda step: weights_at(step, run, classes, oscillation))(steps)


def program(problem: Problem, runs: Runs, schedule: Schedule, precision: Precision) -> Program:
    """Return functions that train one run after another in the fused loop; see `Program`."""
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
        # Join the leaves in the order of ravel_pytree, which the loop and the history use.
        flat = tuple(
            np.concatenate([leaf[0].ravel() for leaf in jax.tree.leaves(tree)])
            for tree in (runs.parameters, runs.leader)
            if tree is not None
        )
        return *flat, *(loop.starts() if scaled else ())

    def weights_of(run: Runs, stretch: Stretch) -> Float[Array, "step class_index"]:
        # Always compute `_STRETCH` steps, so that the function is compiled once; the last stretch may be
        # shorter.
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
        # The gradient of the loss of F with respect to f has a factor α, and the loss is divided by α²: the
        # learning rate is divided by α.
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
