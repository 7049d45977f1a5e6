"""The training engine: an ensemble of runs, over seeds and grid cells, in one compiled program.

What all runs share (network, data, loss, optimiser, schedule) is closed over and compiled in; what
differs between them (initial parameters, period, amplitude, learning rate, end of the oscillation) is
traced.  On a CPU the runs go one after the other, so that each stays in cache, and on an accelerator
side by side.  Either way a run's numbers do not depend on which others are in the ensemble.

A step takes the whole training set, or a batch of it: each epoch in a new random order that the seed
alone decides, drawn on the device, where the data stay for the whole run.

The paper's own perceptrons are trained by :mod:`dynamical_loss.fused` on a CPU, several times faster; all
others, and all on an accelerator, by XLA.

A run is cut into stretches of steps.  Between two of them its state can be copied to the host and kept,
and training can go on from there; that changes no number, as the cuts are always the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from jax.flatten_util import ravel_pytree

from dynamical_loss import fused, losses
from dynamical_loss.models import Network, Parameters
from dynamical_loss.optimisers import OptimiserFactory
from dynamical_loss.weights import Waveform, class_weights

Precision = Literal["float32", "float64"]
Engine = Literal["xla", "fused"]
Array = npt.NDArray[Any]

State = Any
"""Parameters and what the optimiser remembers, a pytree of arrays."""

Progress = Callable[[float], None]
"""Called now and then with the fraction of the work that is done."""

_STRETCH = 4096  # steps: enough that a look from outside costs nothing, few enough to wait for …
# … unless they are long: as many as take about ten seconds at these rates of operations a second.
_STRETCH_OPERATIONS = {"cpu": 2e11, "gpu": 1e14}
_EPOCHS = 256  # at most in a stretch: the orders of all of them are kept
_EVALUATED = 1000  # samples at a time: more would need much memory and be no faster
_BATCH_ORDER = 1  # purpose of a random key; `models` has taken 0


class Checkpoint(Protocol):
    """Where unfinished work is kept."""

    def restore(self) -> Mapping[str, Array] | None:
        """What was kept last, by name; None if there is nothing to go on from."""

    def offer(self, unfinished: Callable[[], Mapping[str, Array]]) -> None:
        """Keep what `unfinished` returns if it is time to; may end the program."""


@dataclass(frozen=True)
class Problem:
    """What all runs of an ensemble share.

    Attributes:
        network: what is trained.
        loss: base loss of each sample.
        waveform: shape of Γ over a period.
        optimiser: waits for its learning rate.
        train_inputs: (sample, …).
        train_targets: one-hot, (sample, class_index).
        validation_inputs: (sample, …).
        validation_targets: one-hot, (sample, class_index).
        perceptron: says the same about network, loss and optimiser to the fused loop, if that covers them.
        batch_size: samples a step; None for all of them.
        learning_rate_points: (step, factor of η), at least two, with straight lines between them; None for
            a constant learning rate.
        evaluation_samples: how many of the first training and validation samples records look at; None
            for all of them.
        products: multiplications of a forward pass on one sample, so that long work is cut into stretches
            of seconds; 0 where a step is short.
    """

    network: Network
    loss: losses.SampleLoss
    waveform: Waveform
    optimiser: OptimiserFactory
    train_inputs: Array
    train_targets: Array
    validation_inputs: Array
    validation_targets: Array
    perceptron: fused.Perceptron | None = None
    batch_size: int | None = None
    learning_rate_points: tuple[tuple[float, float], ...] | None = None
    evaluation_samples: int | None = None
    products: int = 0


class Data(NamedTuple):
    """A problem's samples on the device; see `Problem`."""

    train_inputs: jax.Array
    train_targets: jax.Array
    validation_inputs: jax.Array
    validation_targets: jax.Array


class Runs(NamedTuple):
    """What distinguishes the R runs of an ensemble.

    Attributes:
        parameters: initial parameters, a pytree with a leading axis (run,).
        period: T in steps, (run,) integers.
        amplitude: A, (run,).
        learning_rate: η, (run,).
        oscillation_end: the step from which Γ = 1, (run,) integers.
        seed: of the order of the samples, (run,) integers; of no account if a step takes all of them.
    """

    parameters: Parameters
    period: Any
    amplitude: Any
    learning_rate: Any
    oscillation_end: Any
    seed: Any = None


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

    def stretches(self, length: int) -> list[Stretch]:
        """The steps from 0 to the last record, cut into pieces of that length; the last may be shorter."""
        last = self.record_steps[-1]
        records, snapshots = np.asarray(self.record_steps), np.asarray(self.snapshot_steps, dtype=np.int64)
        cuts = []
        for start in range(0, last + 1, length):
            stop = min(start + length, last + 1)
            cuts.append(
                Stretch(
                    start,
                    min(stop, last),
                    slice(*np.searchsorted(records, (start, stop)).tolist()),
                    slice(*np.searchsorted(snapshots, (start, stop)).tolist()),
                )
            )
        return cuts


class Stretch(NamedTuple):
    """Part of a schedule.

    Attributes:
        start: the first step.
        end: the step at which the next stretch starts, or the last of all.
        records: those of the schedule's records that fall into it.
        snapshots: those of its snapshots.
    """

    start: int
    end: int
    records: slice
    snapshots: slice


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


def learning_rate_factor(problem: Problem, step: Any) -> Any:
    """What η is multiplied with at some steps, of the same shape, numpy or traced.

    Args:
        problem: with its `learning_rate_points`.
        step: t.
    """
    if problem.learning_rate_points is None:
        return np.ones(np.shape(step))
    places, factors = (np.asarray(column) for column in zip(*problem.learning_rate_points, strict=True))
    if isinstance(step, jax.Array):
        dtype = jnp.result_type(float)
        return jnp.interp(step.astype(dtype), places.astype(dtype), factors.astype(dtype))
    return np.interp(step, places, factors)


class _Engine(NamedTuple):
    """How a group of runs is trained; all arrays have a leading axis (run,).

    Attributes:
        kind: what it is called.
        group: how many runs advance together.
        stretches: the schedule, cut.
        begin: runs → their state at step 0.
        advance: runs, their state at the start of a stretch, the stretch → their state at its end, records
            by name (run, record, …), snapshots (run, snapshot, parameter).
    """

    kind: Engine
    group: int
    stretches: list[Stretch]
    begin: Callable[[Runs], State]
    advance: Callable[[Runs, State, Stretch], tuple[State, dict[str, Array], Array]]


_RECORDS = ("weighted_loss", "loss", "train_accuracy", "validation_accuracy")


def train_ensemble(
    problem: Problem,
    runs: Runs,
    schedule: Schedule,
    *,
    precision: Precision,
    engine: Engine | Literal["auto"] = "auto",
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
        engine: ``xla`` for any problem on any device, ``fused`` for one with a `perceptron` on a CPU;
            ``auto`` takes the latter where it can.
        batching: of XLA; ``sequential`` is fastest on a CPU and for convolutions, ``parallel`` on an
            accelerator; ``auto`` chooses.
        progress: told now and then how much is done.
        checkpoint: asked for unfinished work at the start, and offered it after every stretch.

    Returns:
        the history; a run that diverges is part of it, with its NaNs.

    Raises:
        ValueError: if the schedule is empty, starts before 0, or snapshots are not among the records, the
            last of them at its end; if ``fused`` is asked for where it does not apply; if a batch is larger
            than the training set, or batches are asked for without seeds of their order.
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
    fusible = problem.perceptron is not None and jax.default_backend() == "cpu"
    if engine == "fused" and not fusible:
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
    )
    # An accelerator would take products at lower precision; a network that is to says so itself.
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision("highest"):
        if engine == "fused" or (engine == "auto" and fusible):
            chosen = _fused(problem, schedule, precision)
        elif batching == "parallel":
            chosen = _xla(problem, ensemble, schedule, dtype, len(ensemble.period))
        else:
            chosen = _xla(problem, ensemble, schedule, dtype, 1)
        found = _train(chosen, problem, ensemble, schedule, dtype, progress, checkpoint)
    return History(
        step=steps,
        **found,
        snapshot_step=np.asarray(schedule.snapshot_steps, dtype=np.int64),
        engine=chosen.kind,
    )


def _train(
    engine: _Engine,
    problem: Problem,
    runs: Runs,
    schedule: Schedule,
    dtype: np.dtype[Any],
    progress: Progress | None,
    checkpoint: Checkpoint | None,
) -> dict[str, Array]:
    """Train group by group, stretch by stretch; the arrays of a history, by name."""
    count, records, classes = len(runs.period), len(schedule.record_steps), problem.train_targets.shape[1]
    parameters = sum(leaf[0].size for leaf in jax.tree.leaves(runs.parameters))
    found = {
        "class_weight": np.zeros((count, records, classes), dtype),
        **{name: np.zeros((count, records), dtype) for name in _RECORDS[:2]},
        # Fractions of some hundred samples: no more digits than float32 has.
        **{name: np.zeros((count, records), np.float32) for name in _RECORDS[2:]},
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


def _weights_at(step: jax.Array, run: Runs, classes: int, waveform: Waveform) -> jax.Array:
    """Γ of one run at one step, (class_index,)."""
    amplitude = jnp.where(step < run.oscillation_end, run.amplitude, jnp.ones_like(run.amplitude))
    return class_weights(step, run.period, amplitude, classes, waveform)


@functools.partial(jax.jit, static_argnames=("length", "classes", "waveform"))
def _weights_along(start: jax.Array, length: int, run: Runs, classes: int, waveform: Waveform) -> jax.Array:
    """Γ of one run from a step on, (step, class_index)."""
    steps = start + jnp.arange(length, dtype=jnp.int32)
    return jax.vmap(lambda step: _weights_at(step, run, classes, waveform))(steps)


def _fused(problem: Problem, schedule: Schedule, precision: Precision) -> _Engine:
    """One run after the other in the fused loop."""
    assert problem.perceptron is not None
    loop = fused.Loop(
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
        weights = np.asarray(_weights_along(start, _STRETCH, run, classes, problem.waveform))[:count]
        state = state.copy()
        found, snapshots = loop.advance(
            state,
            float(run.learning_rate),
            weights,
            stretch.end - stretch.start,
            recorded[here],
            kept[here],
        )
        columns = {name: found[None, :, index] for index, name in enumerate(_RECORDS)}
        return state, {"class_weight": weights[recorded[here]][None], **columns}, snapshots[None]

    return _Engine("fused", 1, schedule.stretches(_STRETCH), begin, advance)


def _xla(problem: Problem, runs: Runs, schedule: Schedule, dtype: np.dtype[Any], group: int) -> _Engine:
    """So many runs side by side, in programs that XLA compiles once for all stretches."""
    # Arguments of the programs and not constants in them, which would be compiled and kept with them.
    data = Data(
        *(
            jnp.asarray(array, dtype)
            for array in (
                problem.train_inputs,
                problem.train_targets,
                problem.validation_inputs,
                problem.validation_targets,
            )
        )
    )
    length = _stretch_length(problem, group)
    stretches = schedule.stretches(length)
    most_stops = 1 + max(stretch.records.stop - stretch.records.start for stretch in stretches)
    slots = 1 + max(stretch.snapshots.stop - stretch.snapshots.start for stretch in stretches)
    advance_one = _stretch_program(problem, dtype, slots, length)
    # A group of one is not batched: the program of a single run is the fastest on a CPU.
    program = jax.jit(jax.vmap(advance_one, in_axes=(None, 0, 0, None)) if group > 1 else advance_one)

    def begin(runs: Runs) -> State:
        def one(parameters: Parameters, learning_rate: Any) -> State:
            statistics = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), problem.network.statistics)
            return parameters, problem.optimiser(learning_rate).init(parameters), statistics

        return jax.vmap(one)(runs.parameters, runs.learning_rate)

    def advance(runs: Runs, state: State, stretch: Stretch) -> tuple[State, dict[str, Array], Array]:
        items = _stops(schedule, stretch, most_stops)
        count = stretch.records.stop - stretch.records.start
        if group > 1:
            state, found, kept = program(data, runs, state, items)
        else:
            alone = jax.tree.map(lambda leaf: leaf[0], (runs, state))
            state, found, kept = jax.tree.map(lambda leaf: leaf[None], program(data, *alone, items))
        # Cut on the device: mostly there is nothing to fetch.
        kept = np.asarray(kept[:, : stretch.snapshots.stop - stretch.snapshots.start])
        return state, {name: np.asarray(values)[:, :count] for name, values in found.items()}, kept

    return _Engine("xla", group, stretches, begin, advance)


def _stops(schedule: Schedule, stretch: Stretch, count: int) -> tuple[Array, ...]:
    """What a stretch's program does when: starts, stops, slots, whether there is a record; (stop,) each.

    There is one stop at each record and one at the end, which may be none; what a stretch lacks of `count` is
    filled up with stops at its end, where nothing is left to do.
    """
    stops = np.full(count, stretch.end)
    records = schedule.record_steps[stretch.records]
    stops[: len(records)] = records
    # Each stop writes the parameters into the slot of the next snapshot to come.  The last stop to do
    # so is the snapshot's own, so no branch is needed, and the buffer is updated in place.
    slots = np.searchsorted(np.asarray(schedule.snapshot_steps[stretch.snapshots], np.int64), stops)
    starts = np.concatenate([[stretch.start], stops[:-1]])
    numbers = (array.astype(np.int32) for array in (starts, stops, slots))
    return *numbers, np.arange(count) < len(records)


def _stretch_length(problem: Problem, group: int) -> int:
    """Steps of a stretch: `_STRETCH`, or as many as take some seconds."""
    longest, samples = _STRETCH, len(problem.train_inputs)
    if problem.batch_size is not None:
        longest = min(_STRETCH, _EPOCHS * -(-samples // problem.batch_size))
        samples = problem.batch_size
    # Forward, and backward to parameters and to activations, two operations a product.
    operations = 6.0 * problem.products * samples * group
    rate = _STRETCH_OPERATIONS["cpu" if jax.default_backend() == "cpu" else "gpu"]
    return int(np.clip(rate / max(operations, 1.0), 1, longest))


def _stretch_program(
    problem: Problem, dtype: np.dtype[Any], slots: int, length: int
) -> Callable[[Data, Runs, State, Any], tuple[State, dict[str, jax.Array], jax.Array]]:
    """The traced function of one run and one stretch.

    It takes the data, the run's share of `Runs`, its state and (starts, stops, slots, whether there is a
    record), and returns its state, records and snapshots.
    """
    network, classes = problem.network, problem.train_targets.shape[1]
    count, size = len(problem.train_inputs), problem.batch_size or len(problem.train_inputs)
    per_epoch = -(-count // size)

    def weights_at(step: jax.Array, run: Runs) -> jax.Array:
        return _weights_at(step, run, classes, problem.waveform)

    def learning_rate_at(step: jax.Array, run: Runs) -> jax.Array:
        if problem.learning_rate_points is None:
            return jnp.asarray(run.learning_rate)
        return jnp.asarray(run.learning_rate * learning_rate_factor(problem, step))

    def orders_from(start: jax.Array, run: Runs) -> jax.Array:
        """Which sample stands where in each epoch of the stretch, (epoch, sample)."""
        key = jax.random.fold_in(jax.random.key(run.seed), _BATCH_ORDER)
        samples = jnp.arange(count, dtype=jnp.int32)

        def order(epoch: jax.Array) -> jax.Array:
            shuffled = jax.random.permutation(jax.random.fold_in(key, epoch), samples)
            return jnp.pad(shuffled, (0, per_epoch * size - count))

        epochs = start // per_epoch + jnp.arange((length - 1) // per_epoch + 2, dtype=jnp.int32)
        found: jax.Array = jax.lax.map(order, epochs)
        return found

    def batch_at(
        step: jax.Array, start: jax.Array, orders: jax.Array | None, data: Data
    ) -> tuple[jax.Array, jax.Array, jax.Array | None]:
        """Inputs, targets and which of them are there: the last batch of an epoch may be smaller."""
        if orders is None:
            return data.train_inputs, data.train_targets, None
        epoch, first = step // per_epoch - start // per_epoch, step % per_epoch * size
        chosen = jax.lax.dynamic_slice(orders, (epoch, first), (1, size))[0]
        present = None if count % size == 0 else first + jnp.arange(size) < count
        return data.train_inputs[chosen], data.train_targets[chosen], present

    def objective(
        parameters: Parameters, statistics: Any, batch: Any, class_weight: jax.Array
    ) -> tuple[jax.Array, Any]:
        inputs, targets, present = batch
        logits, statistics = network.train(parameters, statistics, inputs, present)
        return losses.weighted_loss(problem.loss, logits, targets, class_weight, present), statistics

    def record(state: State, step: jax.Array, run: Runs, data: Data) -> dict[str, jax.Array]:
        class_weight = weights_at(step, run)
        parameters, _, statistics = state

        def judge(inputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
            logits = network.evaluate(parameters, statistics, inputs)
            each = problem.loss(logits, targets)
            return {
                "weighted_loss": (targets @ class_weight) * each,
                "loss": each,
                "accuracy": losses.is_right(logits, targets),
            }

        looked_at = problem.evaluation_samples
        found = _mean_over_samples(judge, data.train_inputs[:looked_at], data.train_targets[:looked_at])
        validation = _mean_over_samples(
            judge, data.validation_inputs[:looked_at], data.validation_targets[:looked_at]
        )
        return {
            "class_weight": class_weight,
            "weighted_loss": found["weighted_loss"],
            "loss": found["loss"],
            "train_accuracy": found["accuracy"],
            "validation_accuracy": validation["accuracy"],
        }

    def advance(
        data: Data, run: Runs, state: State, items: Any
    ) -> tuple[State, dict[str, jax.Array], jax.Array]:
        beginning = items[0][0]

        def look(state: State, step: jax.Array) -> dict[str, jax.Array]:
            return record(state, step, run, data)

        orders = None if problem.batch_size is None else orders_from(beginning, run)

        def update(step: jax.Array, state: State) -> State:
            parameters, optimiser_state, statistics = state
            optimiser = problem.optimiser(learning_rate_at(step, run))
            batch = batch_at(step, beginning, orders, data)
            gradient, statistics = jax.grad(objective, has_aux=True)(
                parameters, statistics, batch, weights_at(step, run)
            )
            updates, optimiser_state = optimiser.update(gradient, optimiser_state, parameters)
            return optax.apply_updates(parameters, updates), optimiser_state, statistics

        def to_stop(carry: Any, item: Any) -> Any:
            state, snapshots = carry
            start, stop, slot, recorded = item
            state = jax.lax.fori_loop(start, stop, update, state)
            flat, _ = ravel_pytree(state[0])
            snapshots = jax.lax.dynamic_update_index_in_dim(snapshots, flat, slot, 0)
            # A look at all samples may cost more than all steps of a stretch.
            nothing = jax.tree.map(
                lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(look, state, stop)
            )
            found = jax.lax.cond(recorded, look, lambda *_: nothing, state, stop)
            return (state, snapshots), found

        snapshots = jnp.zeros((slots, ravel_pytree(state[0])[0].size), dtype)
        (state, snapshots), records = jax.lax.scan(to_stop, (state, snapshots), items)
        return state, records, snapshots

    return advance


def _mean_over_samples(
    judge: Callable[[jax.Array, jax.Array], dict[str, jax.Array]], inputs: jax.Array, targets: jax.Array
) -> dict[str, jax.Array]:
    """Means of what `judge` finds of each sample, some samples at a time; (sample,) to ()."""
    count = len(inputs)
    if count <= _EVALUATED:
        return {name: jnp.mean(each) for name, each in judge(inputs, targets).items()}

    def part(first: jax.Array) -> dict[str, jax.Array]:
        # The last part reaches back into the one before, and counts only what that did not.
        start = jnp.minimum(first, count - _EVALUATED)
        here = (jax.lax.dynamic_slice_in_dim(array, start, _EVALUATED) for array in (inputs, targets))
        new = start + jnp.arange(_EVALUATED) >= first
        return {name: jnp.sum(each, where=new) for name, each in judge(*here).items()}

    sums = jax.lax.map(part, jnp.arange(0, count, _EVALUATED))
    return {name: jnp.sum(values) / count for name, values in sums.items()}
