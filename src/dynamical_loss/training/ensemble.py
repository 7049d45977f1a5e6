"""The training engine: an ensemble of runs, over seeds and grid cells, in one compiled program.

What all runs share (network, data, loss, optimiser, schedule) is closed over and compiled in; what
differs between them (initial parameters, period, amplitude, learning rate, end of the oscillation) is
traced.  On a CPU the runs go one after the other, so that each stays in cache, and on an accelerator
side by side.  Either way a run's numbers do not depend on which others are in the ensemble.

A step takes the whole training set, or a batch of it: each epoch in a new random order that the seed
alone decides, drawn on the device, where the data stay for the whole run.

The paper's own perceptrons are trained by :mod:`dynamical_loss.training.fused` on a CPU, several times
faster; all others, and all on an accelerator, by XLA.

A run is cut into stretches of steps.  Between two of them its state can be copied to the host and kept,
and training can go on from there; that changes no number, as the cuts are always the same.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Literal

import jax
import numpy as np

from dynamical_loss.training.types import (
    RECORDS,
    Array,
    Checkpoint,
    Engine,
    History,
    Precision,
    Problem,
    Program,
    Progress,
    Runs,
    Schedule,
    State,
    learning_rate_factor,
)


def train_ensemble(
    problem: Problem,
    runs: Runs,
    schedule: Schedule,
    *,
    precision: Precision,
    engine: Engine = "xla",
    batching: Literal["auto", "sequential", "parallel"] = "auto",
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train all runs for the length of the schedule.

    The update from t to t + 1 follows the gradient at Γ(t); records and snapshots at t show the
    parameters after t updates.

    Args:
        problem: what the runs share.
        runs: what distinguishes them.
        schedule: what is kept; the run ends at the last step in it.
        precision: floating-point precision of everything.
        engine: ``xla`` for any problem on any device, ``fused`` for one with a `perceptron` by plain gradient
            descent on all samples, on a CPU.
        batching: of XLA; ``sequential`` is fastest on a CPU and for convolutions, ``parallel`` on an
            accelerator; ``auto`` chooses.
        progress: told now and then how much is done.
        checkpoint: asked for unfinished work at the start, and offered it after every stretch.

    Returns:
        the history; a run that diverges is part of it, with its NaNs.

    Raises:
        ValueError: if the schedule is empty, starts before 0, or snapshots are not among the records, the
            last of them at its end; if ``fused`` is asked for where it does not apply; if a batch is larger
            than the training set, or batches are asked for without seeds of their order; if steps are to be
            replayed and there is no run to take them from; if the output is scaled where that is not covered.
    """
    steps = np.asarray(schedule.record_steps)
    if steps.size == 0 or steps[0] < 0 or not set(schedule.snapshot_steps) <= set(steps.tolist()):
        raise ValueError("a schedule needs records, from step 0 on, that include its snapshots")
    if schedule.snapshot_steps and schedule.snapshot_steps[-1] != steps[-1]:
        raise ValueError("the last record of a schedule must be a snapshot if any snapshot is asked for")
    if problem.batch_size is not None:
        if not 1 <= problem.batch_size <= len(problem.train_inputs):
            raise ValueError(f"batches of {problem.batch_size} from {len(problem.train_inputs)} samples")
        if runs.seed is None:
            raise ValueError("batches need seeds of their order")
    replayed = problem.step_size is not None and problem.step_size.replayed
    if replayed != (runs.leader is not None):
        raise ValueError("steps are replayed from leaders, and there are leaders for nothing else")
    if runs.output_scale is not None:
        if problem.step_size is not None or problem.network.statistics:
            raise ValueError("outputs are scaled for networks without state at learning rates that are given")
        if steps[0] != 0:
            raise ValueError("outputs are scaled relative to those at step 0, which must be recorded")
    if engine == "fused" and (problem.perceptron is None or jax.default_backend() != "cpu"):
        raise ValueError("the fused loop trains perceptrons with one hidden layer by sgd, on a CPU")
    if batching == "auto":
        alone = jax.default_backend() == "cpu" or problem.network.convolutional
        batching = "sequential" if alone else "parallel"
    dtype = np.dtype(precision)
    ensemble = Runs(
        parameters=jax.tree.map(lambda leaf: np.asarray(leaf, dtype), runs.parameters),
        period=np.asarray(runs.period, np.int32),
        amplitude=np.asarray(runs.amplitude, dtype),
        learning_rate=np.asarray(runs.learning_rate, dtype),
        oscillation_end=np.asarray(runs.oscillation_end, np.int32),
        seed=np.zeros(len(runs.period), np.uint32) if runs.seed is None else np.asarray(runs.seed, np.uint32),
        leader=jax.tree.map(lambda leaf: np.asarray(leaf, dtype), runs.leader),
        output_scale=None if runs.output_scale is None else np.asarray(runs.output_scale, dtype),
    )
    # An accelerator would take products at lower precision; a network that is to says so itself.
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision("highest"):
        if engine == "fused":
            # Each engine is imported where it is wanted, and no job depends on the one that it does not use.
            from dynamical_loss.training import fused

            chosen = fused.program(problem, ensemble, schedule, precision)
        else:
            from dynamical_loss.training import xla

            group = len(ensemble.period) if batching == "parallel" else 1
            chosen = xla.program(problem, ensemble, schedule, dtype, group)
        found = _train(chosen, problem, ensemble, schedule, dtype, progress, checkpoint)
    if problem.step_size is None:
        factor = learning_rate_factor(problem, steps)
        found["learning_rate"] = np.multiply.outer(np.asarray(runs.learning_rate, np.float64), factor)
    return History(
        step=steps,
        **found,
        snapshot_step=np.asarray(schedule.snapshot_steps, dtype=np.int64),
        engine=chosen.kind,
    )


def _train(
    engine: Program,
    problem: Problem,
    runs: Runs,
    schedule: Schedule,
    dtype: np.dtype[Any],
    progress: Progress | None,
    checkpoint: Checkpoint | None,
) -> dict[str, Array]:
    """Train group by group, stretch by stretch; the arrays of a history, by name."""
    count, records, classes = len(runs.period), len(schedule.record_steps), problem.train_targets.shape[1]
    one = jax.tree.map(lambda leaf: leaf[0], runs.parameters)
    remembered = jax.eval_shape(problem.optimiser(0.1).init, one) if problem.keeps_state else ()
    parameters = sum(leaf.size for leaf in jax.tree.leaves(problem.kept(one, remembered)))
    found = {
        "class_weight": np.zeros((count, records, classes), dtype),
        **{name: np.zeros((count, records), dtype) for name in RECORDS[:2]},
        **({} if problem.step_size is None else {"learning_rate": np.zeros((count, records), dtype)}),
        # Fractions of some hundred samples: no more digits than float32 has.
        **{name: np.zeros((count, records), np.float32) for name in RECORDS[2:]},
        "parameters": np.zeros((count, len(schedule.snapshot_steps), parameters), dtype),
    }
    stretches = engine.stretches
    total = -(-count // engine.group) * len(stretches)
    kept = checkpoint.restore() if checkpoint is not None else None
    done, state, restored = 0, None, None
    if kept is not None:
        done = int(kept["done"])
        found = {name: kept[name] for name in found}
        leaves = sum(name.startswith("state_") for name in kept)
        restored = [kept[f"state_{index}"] for index in range(leaves)]
    while done < total:
        number, part = divmod(done, len(stretches))
        group = slice(number * engine.group, (number + 1) * engine.group)
        here = jax.tree.map(lambda leaf, group=group: leaf[group], runs)
        if state is None:
            state = engine.begin(here)
            if restored is not None and part > 0:
                state = jax.tree.unflatten(jax.tree.structure(state), restored)
            restored = None
        stretch = stretches[part]
        state, recorded, snapshots = engine.advance(here, state, stretch)
        for name, values in recorded.items():
            found[name][group, stretch.records] = values
        found["parameters"][group, stretch.snapshots] = snapshots
        done += 1
        if progress is not None:
            progress(done / total)
        if done % len(stretches) == 0:
            state = None
        if checkpoint is not None and done < total:
            checkpoint.offer(functools.partial(_unfinished, done, state, found))
    return found


def _unfinished(done: int, state: State, found: Mapping[str, Array]) -> dict[str, Array]:
    """What `_train` needs to go on: stretches done, state of the current group, history so far."""
    leaves = {f"state_{index}": np.asarray(leaf) for index, leaf in enumerate(jax.tree.leaves(state))}
    return {"done": np.asarray(done), **leaves, **found}
