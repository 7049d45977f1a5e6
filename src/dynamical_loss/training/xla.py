"""Any problem on any device: a group of runs as programs that XLA compiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from dynamical_loss import losses
from dynamical_loss.models.network import Parameters
from dynamical_loss.training.types import (
    Array,
    Data,
    Problem,
    Program,
    Runs,
    Schedule,
    State,
    Stretch,
    learning_rate_factor,
    weights_at,
)

_STRETCH = 4096  # steps: enough that a look from outside costs nothing, few enough to wait for …
# … unless they are long: as many as take about ten seconds at these rates of operations a second.
_STRETCH_OPERATIONS = {"cpu": 2e11, "gpu": 1e14}
_EPOCHS = 256  # at most in a stretch: the orders of all of them are kept
_EVALUATED = 1000  # samples at a time: more would need much memory and be no faster
_BATCH_ORDER = 1  # purpose of a random key; `models` has taken 0, the order of classes 2
_GROUPS = 3


Run = tuple[Parameters, Any, Any]
"""Parameters, what the optimiser remembers, and the network's statistics."""


def program(problem: Problem, runs: Runs, schedule: Schedule, dtype: np.dtype[Any], group: int) -> Program:
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

    evaluate = problem.network.evaluate
    outputs = jax.jit(jax.vmap(evaluate, in_axes=(0, None, None)) if group > 1 else evaluate)

    def at_start(parameters: Parameters, inputs: jax.Array) -> jax.Array:
        """f₀, (run, sample, class_index), some samples at a time."""
        if group == 1:
            parameters = jax.tree.map(lambda leaf: leaf[0], parameters)
        firsts = range(0, len(inputs), _EVALUATED)
        parts = [
            outputs(parameters, problem.network.statistics, inputs[first : first + _EVALUATED])
            for first in firsts
        ]
        found = jnp.concatenate(parts, axis=-2)
        return found if group > 1 else found[None]

    def begin(runs: Runs) -> State:
        def fresh(parameters: Parameters, learning_rate: Any) -> Run:
            statistics = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), problem.network.statistics)
            return parameters, problem.optimiser(learning_rate).init(parameters), statistics

        def one(parameters: Parameters, leader: Parameters | None, learning_rate: Any) -> State:
            replayed = () if leader is None else fresh(leader, learning_rate)
            return *fresh(parameters, learning_rate), replayed

        sets = () if runs.output_scale is None else (data.train_inputs, data.validation_inputs)
        start = tuple(at_start(runs.parameters, inputs) for inputs in sets)
        return *jax.vmap(one)(runs.parameters, runs.leader, runs.learning_rate), start

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

    return Program("xla", group, stretches, begin, advance)


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

    def class_weight_at(step: jax.Array, run: Runs) -> jax.Array:
        return weights_at(step, run, classes, problem.oscillation)

    def owners_of(run: Runs, data: Data) -> jax.Array:
        """Which weight each training sample has, one-hot: that of its class, or of a random group."""
        if problem.oscillation.emphasis != "random_group":
            return data.train_targets
        key = jax.random.fold_in(jax.random.key(run.seed), _GROUPS)
        return data.train_targets[jax.random.permutation(key, count)]

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
        step: jax.Array, start: jax.Array, orders: jax.Array | None, arrays: Sequence[jax.Array]
    ) -> tuple[list[jax.Array], jax.Array | None]:
        """A step's samples of arrays, and which are there: the last batch of an epoch may be smaller."""
        if orders is None:
            return list(arrays), None
        epoch, first = step // per_epoch - start // per_epoch, step % per_epoch * size
        chosen = jax.lax.dynamic_slice(orders, (epoch, first), (1, size))[0]
        present = None if count % size == 0 else first + jnp.arange(size) < count
        return [array[chosen] for array in arrays], present

    def prediction(logits: jax.Array, start: Sequence[jax.Array], step: jax.Array, run: Runs) -> jax.Array:
        """The network's output f, or α(f − f₀) if `start` holds f₀ of the same samples."""
        if not start:
            return logits
        # f₀ comes from another program, which may round otherwise, and F starts at 0 all the same.
        before = jnp.where(step == 0, jax.lax.stop_gradient(logits), start[0])
        return jnp.asarray(run.output_scale * (logits - before))

    def objective(
        parameters: Parameters,
        statistics: Any,
        batch: Any,
        owners: jax.Array | None,
        step: jax.Array,
        run: Runs,
    ) -> tuple[jax.Array, Any]:
        (inputs, targets, *start), present = batch
        logits, statistics = network.train(parameters, statistics, inputs, present)
        class_weight = class_weight_at(step, run)
        weighted = losses.weighted_loss(
            problem.loss,
            prediction(logits, start, step, run),
            targets,
            class_weight,
            present,
            owners=owners,
            by_output=problem.by_output,
        )
        return weighted if run.output_scale is None else weighted / run.output_scale**2, statistics

    def record(state: State, step: jax.Array, run: Runs, data: Data) -> dict[str, jax.Array]:
        class_weight = class_weight_at(step, run)
        parameters, _, statistics, _, start = state

        def judge(
            inputs: jax.Array, targets: jax.Array, owners: jax.Array, *start: jax.Array
        ) -> dict[str, jax.Array]:
            logits = prediction(network.evaluate(parameters, statistics, inputs), start, step, run)
            each = problem.loss(logits, targets)
            return {
                "weighted_loss": losses.weighted_each(
                    lambda *_: each, logits, targets, class_weight, owners=owners, by_output=problem.by_output
                ),
                "loss": each,
                "accuracy": losses.is_right(logits, targets),
            }

        here = slice(problem.evaluation_samples)
        train = data.train_inputs, data.train_targets, owners_of(run, data), *start[:1]
        others = data.validation_inputs, data.validation_targets, data.validation_targets, *start[1:]
        found = _mean_over_samples(judge, *(array[here] for array in train))
        validation = _mean_over_samples(judge, *(array[here] for array in others))
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
        arrays = data.train_inputs, data.train_targets, *state[4][:1]
        orders = None if problem.batch_size is None else orders_from(beginning, run)
        rule = problem.step_size

        def with_owners(run: Runs) -> tuple[Runs, jax.Array | None]:
            # Of a batch it is the targets, which belong to the samples that are in it.
            return run, None if problem.batch_size is not None else owners_of(run, data)

        own = with_owners(run)
        leading = with_owners(run.leading(rule)) if rule is not None and rule.replayed else own

        def slope(step: jax.Array, here: Run, its: Any) -> Callable[[Parameters], tuple[Parameters, Any]]:
            """The gradient and the network's statistics as a function of the parameters."""
            batch, (run, owners) = batch_at(step, beginning, orders, arrays), its
            return lambda parameters: jax.grad(objective, has_aux=True)(
                parameters, here[2], batch, owners, step, run
            )

        def adjusted(step: jax.Array, here: Run, its: Any) -> tuple[jax.Array, Parameters, Any]:
            """The rule's learning rate, with the gradient and statistics on the way."""
            assert rule is not None
            gradient, push, statistics = jax.linearize(slope(step, here, its), here[0], has_aux=True)
            factor = rule.factor(optax.tree.norm(gradient), optax.tree.norm(push(gradient)))
            return (learning_rate_at(step, run) * factor).astype(dtype), gradient, statistics

        def look(state: State, step: jax.Array) -> dict[str, jax.Array]:
            found = record(state, step, run, data)
            if rule is not None:
                here = state[3] if rule.replayed else state[:3]
                found["learning_rate"], _, _ = adjusted(step, here, leading)
            return found

        def descended(here: Run, learning_rate: Any, gradient: Parameters, statistics: Any) -> Run:
            parameters, optimiser_state, _ = here
            optimiser = problem.optimiser(learning_rate)
            updates, optimiser_state = optimiser.update(gradient, optimiser_state, parameters)
            return optax.apply_updates(parameters, updates), optimiser_state, statistics

        def stepped(here: Run, rate: jax.Array, gradient: Parameters, statistics: Any) -> Run:
            # As in the rule's code: the optimiser gets gradients that are scaled, and no learning rate.
            scaled = jax.tree.map(lambda leaf: rate * leaf, gradient)
            return descended(here, 1.0, scaled, statistics)

        def update(step: jax.Array, state: State) -> State:
            here, (leader, start) = state[:3], state[3:]
            if rule is not None and not rule.replayed:
                return *stepped(here, *adjusted(step, here, own)), leader, start
            gradient, statistics = slope(step, here, own)(here[0])
            if rule is None:
                return *descended(here, learning_rate_at(step, run), gradient, statistics), leader, start
            rate, *others = adjusted(step, leader, leading)
            return *stepped(here, rate, gradient, statistics), stepped(leader, rate, *others), start

        def to_stop(carry: Any, item: Any) -> Any:
            state, snapshots = carry
            start, stop, slot, recorded = item
            state = jax.lax.fori_loop(start, stop, update, state)
            flat, _ = ravel_pytree(problem.kept(*state[:2]))
            flat = flat.astype(dtype)
            snapshots = jax.lax.dynamic_update_index_in_dim(snapshots, flat, slot, 0)
            # A look at all samples may cost more than all steps of a stretch.
            nothing = jax.tree.map(
                lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(look, state, stop)
            )
            found = jax.lax.cond(recorded, look, lambda *_: nothing, state, stop)
            return (state, snapshots), found

        snapshots = jnp.zeros((slots, ravel_pytree(problem.kept(*state[:2]))[0].size), dtype)
        (state, snapshots), records = jax.lax.scan(to_stop, (state, snapshots), items)
        return state, records, snapshots

    return advance


def _mean_over_samples(
    judge: Callable[..., dict[str, jax.Array]], *arrays: jax.Array
) -> dict[str, jax.Array]:
    """Means of what `judge` finds of each sample of some arrays, some samples at a time; (sample,) to ()."""
    count = len(arrays[0])
    if count <= _EVALUATED:
        return {name: jnp.mean(each) for name, each in judge(*arrays).items()}

    def part(first: jax.Array) -> dict[str, jax.Array]:
        # The last part reaches back into the one before, and counts only what that did not.
        start = jnp.minimum(first, count - _EVALUATED)
        here = (jax.lax.dynamic_slice_in_dim(array, start, _EVALUATED) for array in arrays)
        new = start + jnp.arange(_EVALUATED) >= first
        return {name: jnp.sum(each, where=new) for name, each in judge(*here).items()}

    sums = jax.lax.map(part, jnp.arange(0, count, _EVALUATED))
    return {name: jnp.sum(values) / count for name, values in sums.items()}
