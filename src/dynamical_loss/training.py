"""The training engine: an ensemble of runs, over seeds and grid cells, in one compiled program.

What all runs share (network, data, loss, optimiser, schedule) is closed over and compiled in; what
differs between them (initial parameters, period, amplitude, learning rate, end of the oscillation) is
traced.  On a CPU the runs go one after the other, so that each stays in cache, and on an accelerator
side by side.  Either way a run's numbers do not depend on which others are in the ensemble.

The paper's own networks are trained by :mod:`dynamical_loss.fused` on a CPU, several times faster; all
others, and all on an accelerator, by XLA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from jax.flatten_util import ravel_pytree

from dynamical_loss import fused, losses
from dynamical_loss.models import Apply, Parameters
from dynamical_loss.optimisers import OptimiserFactory
from dynamical_loss.weights import Waveform, class_weights

Precision = Literal["float32", "float64"]
Engine = Literal["xla", "fused"]
Array = npt.NDArray[Any]

Progress = Callable[[float], None]
"""Called now and then with the fraction of the work that is done."""

_PROGRESS_CALLS = 100
_STRETCH = 4096  # steps between two looks of the fused loop at Γ: enough that they cost nothing


@dataclass(frozen=True)
class Problem:
    """What all runs of an ensemble share.

    Attributes:
        apply: the network.
        loss: base loss of each sample.
        waveform: shape of Γ over a period.
        optimiser: waits for its learning rate.
        train_inputs: (sample, …).
        train_targets: one-hot, (sample, class_index).
        validation_inputs: (sample, …).
        validation_targets: one-hot, (sample, class_index).
        perceptron: says the same about network, loss and optimiser to the fused loop, if that covers them.
    """

    apply: Apply
    loss: losses.SampleLoss
    waveform: Waveform
    optimiser: OptimiserFactory
    train_inputs: Array
    train_targets: Array
    validation_inputs: Array
    validation_targets: Array
    perceptron: fused.Perceptron | None = None


class Runs(NamedTuple):
    """What distinguishes the R runs of an ensemble.

    Attributes:
        parameters: initial parameters, a pytree with a leading axis (run,).
        period: T in steps, (run,) integers.
        amplitude: A, (run,).
        learning_rate: η, (run,).
        oscillation_end: the step from which Γ = 1, (run,) integers.
    """

    parameters: Parameters
    period: Any
    amplitude: Any
    learning_rate: Any
    oscillation_end: Any


@dataclass(frozen=True)
class Schedule:
    """When something is kept.  Loss and accuracy are recorded at snapshots too.

    Attributes:
        record_steps: steps t at which loss and accuracy are recorded, ascending.
        snapshot_steps: steps t at which the parameters are kept, ascending, possibly empty.
    """

    record_steps: tuple[int, ...]
    snapshot_steps: tuple[int, ...] = ()

    @classmethod
    def regular(
        cls,
        steps: int,
        record_every: int,
        snapshot_every: int | None = None,
        windows: Sequence[tuple[int, int, int]] = (),
    ) -> Schedule:
        """Every so many steps from 0 to `steps`, both included, with denser snapshots in windows.

        Args:
            steps: length of the run.
            record_every: steps between records.
            snapshot_every: steps between snapshots, None for none.
            windows: (start, stop, every) of stretches with extra snapshots, stop included.
        """
        records = {*range(0, steps + 1, record_every), steps}
        snapshots: set[int] = set()
        if snapshot_every is not None:
            snapshots |= {*range(0, steps + 1, snapshot_every), steps}
            for start, stop, every in windows:
                snapshots |= set(range(start, min(stop, steps) + 1, every))
        return cls(tuple(sorted(records | snapshots)), tuple(sorted(snapshots)))


class History(NamedTuple):
    """What an ensemble leaves, as numpy arrays.

    Attributes:
        step: t of the records, (step,).
        class_weight: Γ_i(t), (run, step, class_index).
        weighted_loss: F(t) with the weights of that t (Eq. 1), (run, step).
        loss: the static loss, Γ = 1, (run, step).
        train_accuracy: (run, step).
        validation_accuracy: (run, step).
        snapshot_step: t of the snapshots, (snapshot_step,).
        parameters: flattened as by ``jax.flatten_util.ravel_pytree``, (run, snapshot_step, parameter).
        engine: what trained it.
    """

    step: Array
    class_weight: Array
    weighted_loss: Array
    loss: Array
    train_accuracy: Array
    validation_accuracy: Array
    snapshot_step: Array
    parameters: Array
    engine: Engine

    @property
    def diverged(self) -> Array:
        """Whether a run's loss ever was not a finite number, (run,) booleans."""
        return np.asarray(~np.isfinite(self.weighted_loss).all(axis=1))

    @property
    def divergence_step(self) -> Array:
        """First recorded step with a loss that is not finite, −1 if there is none, (run,)."""
        broken = ~np.isfinite(self.weighted_loss)
        return np.where(broken.any(axis=1), self.step[broken.argmax(axis=1)], -1)


def last_period_boundary(steps: int, period: int) -> int:
    """The step at which the oscillation ends, so that the last period is static (the paper's protocol).

    It is the latest multiple of T that leaves at least T steps, where Γ is 1 in any case; a run whose
    length is not a multiple of T therefore has a static stretch of between one and two periods.

    Args:
        steps: length of the run.
        period: T, steps.

    Raises:
        ValueError: if fewer than two periods fit into the run.
    """
    if period <= 0 or 2 * period > steps:
        raise ValueError(f"a period of {period} leaves no static period in {steps} steps")
    return period * (steps // period - 1)


def train_ensemble(
    problem: Problem,
    runs: Runs,
    schedule: Schedule,
    *,
    precision: Precision,
    engine: Engine | Literal["auto"] = "auto",
    batching: Literal["auto", "sequential", "parallel"] = "auto",
    progress: Progress | None = None,
) -> History:
    """Train all runs for the length of the schedule.

    The update from t to t + 1 follows the gradient at Γ(t); records and snapshots at t show the
    parameters after t updates.

    Args:
        problem: what the runs share.
        runs: what distinguishes them.
        schedule: what is kept; the run ends at the last step in it.
        precision: floating-point precision of everything.
        engine: ``xla`` for any problem on any device, ``fused`` for one with a `perceptron` on a CPU;
            ``auto`` takes the latter where it can.
        batching: of XLA; ``sequential`` is fastest on a CPU, ``parallel`` on an accelerator; ``auto``
            chooses.
        progress: told now and then how much is done.

    Returns:
        the history; a run that diverges is part of it, with its NaNs.

    Raises:
        ValueError: if the schedule is empty, starts before 0, or snapshots are not among the records, the
            last of them at its end; if ``fused`` is asked for where it does not apply.
    """
    steps = np.asarray(schedule.record_steps)
    if steps.size == 0 or steps[0] < 0 or not set(schedule.snapshot_steps) <= set(steps.tolist()):
        raise ValueError("a schedule needs records, from step 0 on, that include its snapshots")
    if schedule.snapshot_steps and schedule.snapshot_steps[-1] != steps[-1]:
        raise ValueError("the last record of a schedule must be a snapshot if any snapshot is asked for")
    fusible = problem.perceptron is not None and jax.default_backend() == "cpu"
    if engine == "fused" and not fusible:
        raise ValueError("the fused loop trains perceptrons with one hidden layer by sgd, on a CPU")
    with jax.enable_x64(precision == "float64"):
        dtype = jnp.dtype(precision)
        arguments = Runs(
            parameters=jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), runs.parameters),
            period=jnp.asarray(runs.period, jnp.int32),
            amplitude=jnp.asarray(runs.amplitude, dtype),
            learning_rate=jnp.asarray(runs.learning_rate, dtype),
            oscillation_end=jnp.asarray(runs.oscillation_end, jnp.int32),
        )
        if engine == "fused" or (engine == "auto" and fusible):
            return _train_fused(problem, arguments, schedule, precision, progress)
        run_one = _compile_run(problem, schedule, dtype, progress, len(arguments.period))
        index = jnp.arange(len(arguments.period))
        if batching == "auto":
            batching = "sequential" if jax.default_backend() == "cpu" else "parallel"

        @jax.jit
        def train(index: jax.Array, arguments: Runs) -> Any:
            if batching == "parallel":
                return jax.vmap(run_one)(index, arguments)
            return jax.lax.map(lambda item: run_one(*item), (index, arguments))

        records, snapshots = jax.block_until_ready(train(index, arguments))  # type: ignore[no-untyped-call]
        jax.effects_barrier()  # type: ignore[no-untyped-call]
        if progress is not None:
            progress(1.0)
        return History(
            step=steps,
            **{name: np.asarray(value) for name, value in records.items()},
            snapshot_step=np.asarray(schedule.snapshot_steps, dtype=np.int64),
            parameters=np.asarray(snapshots),
            engine="xla",
        )


def _weights_at(step: jax.Array, run: Runs, classes: int, waveform: Waveform) -> jax.Array:
    """Γ of one run at one step, (class_index,)."""
    amplitude = jnp.where(step < run.oscillation_end, run.amplitude, jnp.ones_like(run.amplitude))
    return class_weights(step, run.period, amplitude, classes, waveform)


def _train_fused(
    problem: Problem, runs: Runs, schedule: Schedule, precision: Precision, progress: Progress | None
) -> History:
    """The work of `train_ensemble`, run by run in the fused loop."""
    assert problem.perceptron is not None
    loop = fused.Loop(
        problem.train_inputs,
        problem.train_targets,
        problem.validation_inputs,
        problem.validation_targets,
        network=problem.perceptron,
        precision=precision,
    )
    classes = problem.train_targets.shape[1]
    # All stretches have one length, so that Γ is compiled once; memory does not grow with the run.
    weights = jax.jit(
        jax.vmap(lambda step, run: _weights_at(step, run, classes, problem.waveform), in_axes=(0, None))
    )
    steps = np.asarray(schedule.record_steps)
    last, count = int(steps[-1]), len(runs.period)
    recorded, kept = np.zeros((2, last + 1), dtype=bool)
    recorded[steps] = True
    kept[list(schedule.snapshot_steps)] = True
    # The leaves in their order are what ravel_pytree joins.
    leaves = [np.asarray(leaf).reshape(count, -1) for leaf in jax.tree.leaves(runs.parameters)]
    parameters = np.concatenate(leaves, axis=1)
    records = np.empty((count, len(steps), 4), precision)
    class_weight = np.empty((count, len(steps), classes), precision)
    snapshots = np.empty((count, len(schedule.snapshot_steps), parameters.shape[1]), precision)
    for index in range(count):
        run = jax.tree.map(lambda leaf, index=index: leaf[index], runs._replace(parameters=()))
        record = snapshot = 0
        for start in range(0, last + 1, _STRETCH):
            here = slice(start, min(start + _STRETCH, last + 1))
            length = here.stop - start
            gamma = np.asarray(weights(start + np.arange(_STRETCH, dtype=np.int32), run))[:length]
            found, states = loop.advance(
                parameters[index],
                float(run.learning_rate),
                gamma,
                min(length, last - start),
                recorded[here],
                kept[here],
            )
            records[index, record : record + len(found)] = found
            class_weight[index, record : record + len(found)] = gamma[recorded[here]]
            snapshots[index, snapshot : snapshot + len(states)] = states
            record, snapshot = record + len(found), snapshot + len(states)
            if progress is not None:
                progress((index + here.stop / (last + 1)) / count)
    return History(
        step=steps,
        class_weight=class_weight,
        weighted_loss=records[..., 0],
        loss=records[..., 1],
        train_accuracy=records[..., 2].astype(np.float32),
        validation_accuracy=records[..., 3].astype(np.float32),
        snapshot_step=np.asarray(schedule.snapshot_steps, dtype=np.int64),
        parameters=snapshots,
        engine="fused",
    )


def _compile_run(
    problem: Problem,
    schedule: Schedule,
    dtype: Any,
    progress: Progress | None,
    number_of_runs: int,
) -> Callable[[jax.Array, Runs], Any]:
    """The traced function of one run: (its index, its share of `Runs`) → (records, snapshots)."""
    stops = np.asarray(schedule.record_steps, dtype=np.int32)
    starts = np.concatenate([[0], stops[:-1]]).astype(np.int32)
    # Each stop writes the parameters into the slot of the next snapshot to come.  The last stop to do
    # so is the snapshot's own, so no branch is needed, and the buffer is updated in place.
    slots = np.searchsorted(schedule.snapshot_steps, stops).astype(np.int32)
    if schedule.snapshot_steps:
        slots = np.minimum(slots, len(schedule.snapshot_steps) - 1)
    train_inputs = jnp.asarray(problem.train_inputs, dtype)
    train_targets = jnp.asarray(problem.train_targets, dtype)
    validation_inputs = jnp.asarray(problem.validation_inputs, dtype)
    validation_targets = jnp.asarray(problem.validation_targets, dtype)
    classes = train_targets.shape[1]
    tick = max(1, len(stops) // _PROGRESS_CALLS)

    def report(run: Any, stop: Any) -> None:
        if progress is not None:
            progress((int(run) + int(stop) / len(stops)) / number_of_runs)

    def weights_at(step: jax.Array, run: Runs) -> jax.Array:
        return _weights_at(step, run, classes, problem.waveform)

    def objective(parameters: Parameters, class_weight: jax.Array) -> jax.Array:
        logits = problem.apply(parameters, train_inputs)
        return losses.weighted_loss(problem.loss, logits, train_targets, class_weight)

    def record(parameters: Parameters, step: jax.Array, run: Runs) -> dict[str, jax.Array]:
        logits = problem.apply(parameters, train_inputs)
        class_weight = weights_at(step, run)
        return {
            "class_weight": class_weight,
            "weighted_loss": losses.weighted_loss(problem.loss, logits, train_targets, class_weight),
            "loss": jnp.mean(problem.loss(logits, train_targets)),
            "train_accuracy": losses.accuracy(logits, train_targets),
            "validation_accuracy": losses.accuracy(
                problem.apply(parameters, validation_inputs), validation_targets
            ),
        }

    def run_one(index: jax.Array, run: Runs) -> Any:
        optimiser = problem.optimiser(run.learning_rate)

        def update(step: jax.Array, state: Any) -> Any:
            parameters, optimiser_state = state
            gradient = jax.grad(objective)(parameters, weights_at(step, run))
            updates, optimiser_state = optimiser.update(gradient, optimiser_state, parameters)
            return optax.apply_updates(parameters, updates), optimiser_state

        def stretch(carry: Any, item: Any) -> Any:
            state, snapshots = carry
            number, start, stop, slot = item
            state = jax.lax.fori_loop(start, stop, update, state)
            if schedule.snapshot_steps:
                flat, _ = ravel_pytree(state[0])
                snapshots = jax.lax.dynamic_update_index_in_dim(snapshots, flat, slot, 0)
            if progress is not None:
                jax.lax.cond(
                    number % tick == 0,
                    lambda: jax.debug.callback(report, index, number),
                    lambda: None,
                )
            return (state, snapshots), record(state[0], stop, run)

        parameters = run.parameters
        size = ravel_pytree(parameters)[0].size
        snapshots = jnp.zeros((len(schedule.snapshot_steps), size), dtype)
        carry = ((parameters, optimiser.init(parameters)), snapshots)
        items = (np.arange(len(stops), dtype=np.int32), starts, stops, slots)
        (_, snapshots), records = jax.lax.scan(stretch, carry, items)
        return records, snapshots

    return run_one
