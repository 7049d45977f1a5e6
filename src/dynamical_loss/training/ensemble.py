"""The training engine: it trains an ensemble of runs, over seeds and grid cells, with one compiled program.

The quantities that all runs share (network, loss, optimiser, schedule) are compiled into the program.  The
quantities that differ between runs (initial parameters, period, amplitude, learning rate, end of the
oscillation) are traced.  On a CPU the runs are trained one after another, so that each run stays in cache.
On an accelerator they are trained side by side.  In both cases, the numbers of a run do not depend on the
other runs in the ensemble.

A step uses the whole training set or a batch.  The samples are randomly shuffled in each epoch; the order
depends only on the seed and is drawn on the device, where the data stay for the whole run.

On a CPU, :mod:`dynamical_loss.training.fused` trains the perceptrons of the paper, several times faster than
XLA.  XLA trains all other networks, and all networks on an accelerator.

A run is cut into stretches of steps.  Between two stretches, its state can be copied to the host and saved,
and training can resume from this state.  Saving and resuming change no number, because the cuts are always
the same.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Literal

import jax
import numpy as np

from dynamical_loss.training import states
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

    The update from t to t + 1 follows the gradient at Γ(t).  Records and snapshots at t describe the
    parameters after t updates.

    Args:
        problem: the part of the problem that all runs share.
        runs: the quantities that differ between runs.
        schedule: steps of the records and the snapshots; training ends at the last record.
        precision: floating-point precision of parameters, data and arithmetic.
        engine: ``xla`` trains any problem on any device.  ``fused`` trains a problem with a `perceptron` on a
            CPU, by plain gradient descent on all samples.
        batching: how XLA trains several runs.  ``sequential`` is fastest on a CPU and for convolutions;
            ``parallel`` is fastest on an accelerator; ``auto`` chooses between them.
        progress: function that is called with the completed fraction after every stretch.
        checkpoint: store that unfinished work is restored from at the start and offered to after every
            stretch.

    Returns:
        The history of all runs.  It includes the runs that diverged; their records are NaN or infinite.

    Raises:
        ValueError: if the schedule is empty or starts before 0; if a snapshot is not also a record, or the
            last record is not a snapshot although there are snapshots; if ``fused`` cannot train the problem;
            if a batch is larger than the training set, or batches have no seeds; if steps are replayed
            without leaders, or leaders are given without replay; if the output is scaled in a problem with
            statistics, with a rule for the learning rate, or without a record at step 0.
    """
    steps = np.asarray(schedule.record_steps)
    if steps.size == 0 or steps[0] < 0 or not set(schedule.snapshot_steps) <= set(steps.tolist()):
        raise ValueError(
            "schedule: needs at least one record, no record before step 0, and a record at each snapshot"
        )
    if schedule.snapshot_steps and schedule.snapshot_steps[-1] != steps[-1]:
        raise ValueError("schedule: the last record must also be a snapshot if there are snapshots")
    if problem.batch_size is not None:
        if not 1 <= problem.batch_size <= len(problem.train_inputs):
            raise ValueError(
                f"batch_size: must be from 1 to {len(problem.train_inputs)}, the number of training samples, "
                f"not {problem.batch_size}"
            )
        if runs.seed is None:
            raise ValueError(
                "batch_size: batches are randomly shuffled and need a seed for each run; set runs.seed"
            )
    replayed = problem.step_size is not None and problem.step_size.replayed
    if replayed != (runs.leader is not None):
        raise ValueError("runs.leader: give leaders if and only if the step_size rule replays their steps")
    if runs.output_scale is not None:
        if problem.step_size is not None or problem.network.statistics:
            raise ValueError(
                "runs.output_scale: not possible with a step_size rule or a network with statistics; "
                "set output_scale to None"
            )
        if steps[0] != 0:
            raise ValueError(
                "runs.output_scale: outputs are scaled relative to step 0; let the schedule record step 0"
            )
    if engine == "fused" and (problem.perceptron is None or jax.default_backend() != "cpu"):
        raise ValueError(
            "engine: fused trains only perceptrons with one hidden layer, by sgd, on a CPU; take xla"
        )
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
    # By default, accelerators multiply matrices at lower precision.  A network with lower precision sets
    # it through its `arithmetic`.
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision("highest"):
        if engine == "fused":
            # Each engine is imported only where it is used, so that a job does not depend on the code of the
            # other engine.
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
    """Train group by group and stretch by stretch; return the arrays of the history by name."""
    count, records, classes = len(runs.period), len(schedule.record_steps), problem.train_targets.shape[1]
    one = jax.tree.map(lambda leaf: leaf[0], runs.parameters)
    remembered = jax.eval_shape(problem.optimiser(0.1).init, one) if problem.keeps_state else ()
    parameters = sum(leaf.size for leaf in jax.tree.leaves(problem.kept(one, remembered)))
    found = {
        "class_weight": np.zeros((count, records, classes), dtype),
        **{name: np.zeros((count, records), dtype) for name in RECORDS[:2]},
        **({} if problem.step_size is None else {"learning_rate": np.zeros((count, records), dtype)}),
        # float32 is enough for accuracies, which are fractions of the number of samples.
        **{name: np.zeros((count, records), np.float32) for name in RECORDS[2:]},
        "parameters": np.zeros((count, len(schedule.snapshot_steps), parameters), dtype),
    }
    stretches = engine.stretches
    total = -(-count // engine.group) * len(stretches)
    kept = checkpoint.restore() if checkpoint is not None else None
    done, state = 0, None
    if kept is not None:
        done = int(kept["done"])
        found = {name: kept[name] for name in found}
    while done < total:
        number, part = divmod(done, len(stretches))
        group = slice(number * engine.group, (number + 1) * engine.group)
        here = jax.tree.map(lambda leaf, group=group: leaf[group], runs)
        if state is None:
            state = engine.begin(here)
            if kept is not None and part > 0:
                state = states.from_arrays(state, kept)
            kept = None
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
    """Return what `_train` needs to resume: stretches done, state of the current group, history so far."""
    return {"done": np.asarray(done), **states.as_arrays(state), **found}
